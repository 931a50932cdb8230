// Artificial delay: which version is chosen, and training on it.
#include "apam/exchange/artificial_delay.h"

#include <gtest/gtest.h>

#include <map>

#include "apam/exchange/local/direct.h"
#include "apam/exchange/local/threads.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

std::vector<std::int64_t> choices(std::int64_t max_delay, std::uint64_t seed, std::int64_t updates) {
  const ArtificialDelay delayed(max_delay, seed);
  std::vector<std::int64_t> tau;
  for (std::int64_t update = 1; update <= updates; ++update) tau.push_back(update - 1 - delayed.version_for(update));
  return tau;
}

TEST(ArtificialDelay, ChoosesAmongTheVersionsThatExist) {
  const auto tau = choices(4, 7, 2000);
  EXPECT_EQ(tau[0], 0);
  for (std::size_t i = 0; i < tau.size(); ++i) {
    EXPECT_GE(tau[i], 0);
    EXPECT_LT(tau[i], std::min<std::int64_t>(4, static_cast<std::int64_t>(i) + 1));
  }
  EXPECT_EQ(choices(1, 7, 50), std::vector<std::int64_t>(50, 0));
}

// The number of choices of each version is binomial with n = 20000, p = 1/5: standard deviation 56.6. A fixed seed.
TEST(ArtificialDelay, ChoosesUniformly) {
  std::map<std::int64_t, int> counts;
  for (const std::int64_t tau : choices(5, 1, 20000)) ++counts[tau];
  ASSERT_EQ(counts.size(), 5U);
  for (const auto& [tau, count] : counts) EXPECT_NEAR(count, 4000, 4 * 56.6) << tau;
}

TEST(ArtificialDelay, DependsOnlyOnSeedAndUpdate) {
  EXPECT_EQ(choices(100, 3, 500), choices(100, 3, 500));
  EXPECT_NE(choices(100, 3, 500), choices(100, 4, 500));
  // The values of Random(0, Purpose::delay, u).below(min(3, u), 0): later versions of the program must choose the same.
  const std::vector<std::int64_t> expected = [] {
    std::vector<std::int64_t> tau;
    for (std::uint64_t u = 1; u <= 8; ++u) {
      const auto word = philox4x32({0, static_cast<std::uint32_t>(u), 0, 6}, {0, 0})[0];
      tau.push_back(static_cast<std::int64_t>((std::uint64_t{word} * std::min<std::uint64_t>(3, u)) >> 32U));
    }
    return tau;
  }();
  EXPECT_EQ(choices(3, 0, 8), expected);
}

TEST(ArtificialDelay, RefusesOtherNumbersOfVersions) {
  EXPECT_TRUE(throws<InputError>({"0", "100000"}, [] { choices(0, 0, 1); }));
  EXPECT_TRUE(throws<InputError>({"100001", "100000"}, [] { choices(100001, 0, 1); }));
}

TEST(ArtificialDelay, NeedsMemoryForEachVersion) {
  EXPECT_EQ(ArtificialDelay::history(900, 100, 401).bytes(), 401U * 4000U);
  EXPECT_EQ(ArtificialDelay::history(900, 100, 1).bytes(), 2U * 4000U) << "one is read while the other is written";
}

HistoryLayout delayed_history(const QuadraticOptions& quadratic, std::int64_t max_delay) {
  const auto layout = quadratic_layout(quadratic);
  return ArtificialDelay::history(layout.weights_size(), layout.statistics_size(), max_delay);
}

/// Local training with artificial delay; keeps the state after every update.
struct DelayedRun {
  DelayedRun(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, std::int64_t max_delay,
             std::int64_t updates)
      : model(quadratic, options, delayed_history(quadratic, max_delay)),
        source(quadratic),
        delayed(max_delay, 5),
        master(model.updater, model.history, {.schedule = {updates, 1}, .delay = &delayed}) {
    train_directly(master, source, control, recorder);
  }

  Model model;
  QuadraticSource source;
  Recorder recorder;
  ScriptedControl control;
  ArtificialDelay delayed;
  MasterState master;
};

// One weight w, the gradient of version v is w_v, step 1/4: w_u = w_(u-1) - w_v / 4, exact in float for the first updates.
TEST(ArtificialDelay, GradientsAreThoseOfTheChosenVersions) {
  const DelayedRun run({}, sgd(0.25), 4, 10);
  std::vector<double> w{1.0};
  std::int64_t largest = 0;
  for (std::int64_t u = 1; u <= 10; ++u) {
    const std::int64_t version = run.delayed.version_for(u);
    const UpdateRecord& record = run.recorder.records.at(static_cast<std::size_t>(u) - 1);
    EXPECT_EQ(record.header.computed_at, version);
    EXPECT_EQ(record.staleness, u - 1 - version);
    EXPECT_EQ(record.header.batch, u - 1);
    w.push_back(w.back() - w[static_cast<std::size_t>(version)] / 4);
    EXPECT_EQ(run.recorder.states[static_cast<std::size_t>(u) - 1][0], w.back()) << "update " << u;
    largest = std::max(largest, record.staleness);
  }
  EXPECT_GE(largest, 2) << "the seed delays enough to test it";
  EXPECT_EQ(run.master.staleness().max(), largest);
  EXPECT_EQ(run.master.staleness().updates(), 10);
}

TEST(ArtificialDelay, OneVersionIsLocalTrainingToTheBit) {
  const DelayedRun run(kModel, amsgrad(0.01), 1, 25);
  Recorder local;
  EXPECT_EQ(run.model.state(), train_direct(kModel, amsgrad(0.01), {25, 1}, local));
  EXPECT_EQ(run.recorder.states, local.states);
  EXPECT_EQ(run.recorder.staleness(), local.staleness());
}

TEST(ArtificialDelay, IsReproducible) {
  const DelayedRun run(kModel, amsgrad(0.01), 6, 60), again(kModel, amsgrad(0.01), 6, 60);
  EXPECT_EQ(run.recorder.states, again.recorder.states);
  Recorder local;
  EXPECT_NE(run.model.state(), train_direct(kModel, amsgrad(0.01), {60, 1}, local));
}

// Running statistics are those of the latest update: each adds the batch statistics of its own gradient.
TEST(ArtificialDelay, RunningStatisticsFollowEveryUpdate) {
  const DelayedRun run(kModel, sgd(0.125), 3, 5);
  QuadraticSource source(kModel);
  const engine::ParameterLayout& layout = source.arena().layout();
  const std::size_t means = layout.weights_size() + layout[engine::StatisticsId{0}].mean_offset;
  std::vector<double> mean(3, 0.0);
  for (std::int64_t u = 1; u <= 5; ++u) {
    const std::int64_t version = run.delayed.version_for(u);
    const float first = version == 0 ? kFirstWeight : run.recorder.states[static_cast<std::size_t>(version) - 1][0];
    source.arena().weights().host()[0] = first;
    source.compute({u - 1});
    const auto batch = source.arena().batch(engine::StatisticsId{0}).mean.host();
    for (std::size_t c = 0; c < 3; ++c) {
      mean[c] += 0.1 * (static_cast<double>(batch[c]) - mean[c]);
      // Four roundings per update of values below 4.
      EXPECT_NEAR(run.recorder.states[static_cast<std::size_t>(u) - 1][means + c], mean[c],
                  static_cast<double>(u) * 4 * 0x1p-22);
    }
  }
}

TEST(ArtificialDelay, AnyTransportCanCarryTheWeights) {
  const DelayedRun direct(kModel, amsgrad(0.01), 6, 30);
  Model model(kModel, amsgrad(0.01), delayed_history(kModel, 6));
  QuadraticSource source(kModel);
  const ArtificialDelay delayed(6, 5);
  Recorder recorder;
  ScriptedControl control;
  MasterState master(model.updater, model.history, {.schedule = {30, 1}, .delay = &delayed});
  const std::vector<GradientSource*> sources{&source};
  train_on_threads(master, sources, control, recorder);
  EXPECT_EQ(recorder.states, direct.recorder.states);
  EXPECT_EQ(recorder.staleness(), direct.recorder.staleness());
}

TEST(ArtificialDelay, NeedsOneWorker) {
  Model model(kModel, sgd(0.1));
  const ArtificialDelay delayed(2, 0);
  EXPECT_TRUE(throws<InputError>(
      {"1", "2"}, [&] { MasterState(model.updater, model.history, {.workers = 2, .schedule = {4}, .delay = &delayed}); }));
}

TEST(ArtificialDelay, ASignalStopsAtTheCurrentVersion) {
  Model model(kModel, sgd(0.1), delayed_history(kModel, 3));
  QuadraticSource source(kModel);
  const ArtificialDelay delayed(3, 0);
  Recorder recorder;
  ScriptedControl control;
  recorder.then = [&](const UpdateRecord& record) { control.signal = record.update == 4 ? 15 : 0; };
  MasterState master(model.updater, model.history, {.schedule = {100}, .delay = &delayed});
  train_directly(master, source, control, recorder);
  EXPECT_EQ(master.ending().update, 4);
  EXPECT_EQ(model.history.current().version(), 4);
}

}  // namespace
}  // namespace apam::exchange::test
