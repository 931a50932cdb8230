// The master with scripted arrivals, so that staleness and weights are known in advance.
#include "apam/exchange/master_state.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/scripted.h"
#include "tests/exchange/support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

struct ScriptedRun {
  ScriptedRun(const QuadraticOptions& quadratic, const engine::OptimizerOptions& options, int workers,
              const std::vector<std::vector<int>>& script, Schedule schedule)
      : model(quadratic, options, workers),
        sources(make_sources(quadratic, std::vector<std::chrono::milliseconds>(static_cast<std::size_t>(workers)))),
        master(model.updater, model.history, {.workers = workers, .schedule = schedule}) {
    ScriptedTransport transport(pointers(sources), script);
    run_master(master, transport, control, recorder);
  }

  Model model;
  std::vector<std::unique_ptr<QuadraticSource>> sources;
  Recorder recorder;
  ScriptedControl control;
  MasterState master;
};

// One weight that starts at 1, gradient = weight, step 1/4: all values are short binary fractions, so float is exact.
// Worker 1 is fast, 0 and 2 are slow; leases are 0: {0,3}, 1: {1,4,6,7}, 2: {2,5}.
TEST(Master, StalenessAndSgdWeights) {
  ScriptedRun run({}, sgd(0.25), 3, {{1}, {1}, {0}, {2}, {1}, {0}, {2}, {1}}, {8, 1});
  EXPECT_EQ(run.recorder.staleness(), (std::vector<std::int64_t>{0, 0, 2, 3, 2, 2, 2, 2}));
  EXPECT_EQ(run.recorder.batches(), (std::vector<std::int64_t>{1, 4, 0, 2, 6, 3, 5, 7}));
  const std::vector<float> expected{0.75F, 0.5625F, 0.3125F, 0.0625F, -0.078125F, -0.15625F, -0.171875F, -0.15234375F};
  ASSERT_EQ(run.recorder.states.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(run.recorder.states[i][0], expected[i]) << "update " << i + 1;
  EXPECT_EQ(run.master.staleness().histogram(), (std::vector<std::int64_t>{2, 0, 5, 1}));
  EXPECT_DOUBLE_EQ(run.master.staleness().mean(), 13.0 / 8.0);
  EXPECT_EQ(run.master.staleness().max(), 3);
  EXPECT_EQ(run.master.staleness().by_worker(), (std::vector<std::int64_t>{2, 4, 2}));
  expect_lawful(run.recorder, run.master.staleness(), 3, 8);
}

// As above: g = 1, 1, 3/4, 1/2, 5/16 of weights 1, 1, 3/4, 1/2, 5/16. The first two gradients are computed on version 0, the
// (i+2)-th on version i, which the worker was sent one update before the last.
TEST(Master, WorkersThatComputeAheadAreOneVersionBehind) {
  Model model({}, sgd(0.25), 1);
  Recorder recorder;
  ScriptedControl control;
  QuadraticSource source{{}};
  const engine::ParameterArena second = make_second({});
  const std::array<GradientSource*, 1> sources{&source};
  const std::array seconds{second.outgoing()};
  MasterState master(model.updater, model.history, {.schedule = {5, 1}, .ahead = true});
  ScriptedTransport transport(sources, seconds, {{0}, {0}, {0}, {0}, {0}});
  run_master(master, transport, control, recorder);
  const std::vector<float> expected{0.75F, 0.5F, 0.3125F, 0.1875F, 0.109375F};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(recorder.states.at(i)[0], expected[i]) << "update " << i + 1;
  EXPECT_EQ(recorder.staleness(), (std::vector<std::int64_t>{0, 1, 1, 1, 1}));
  EXPECT_EQ(source.prepared(), source.computed());
  expect_lawful(recorder, master.staleness(), 1, 5, Between::compute_ahead);
  EXPECT_EQ(master.staleness().max_publish_lag(), 1);
  EXPECT_DOUBLE_EQ(master.staleness().mean_publish_lag(), 0.8);
}

TEST(Master, KnowsWhichVersionAGradientComputedAheadIsOn) {
  Model model({}, sgd(0.25), 1);
  Recorder recorder;
  MasterState state(model.updater, model.history, {.schedule = {9}, .ahead = true});
  HandDriven master(state, recorder);
  EXPECT_EQ(master.join(0).lease_count, 3);
  const std::vector<float> gradient(16);
  const auto take = [&](std::int64_t version, std::int64_t batch) {
    return master.take({0, {.computed_at = version, .batch = batch, .rows = 1}, std::span<const float>(gradient)});
  };
  EXPECT_EQ(take(0, 0).version, 1);
  EXPECT_TRUE(throws<ExchangeError>({"computed on version 1", "it was sent version 0 for it"}, [&] { take(1, 1); }));
  EXPECT_EQ(take(0, 1).version, 2);
  EXPECT_EQ(take(1, 2).version, 3);
}

// Gradients that arrive together were all computed before any of them is applied; each is a separate update.
TEST(Master, ArrivalsTogetherAreAppliedOneByOne) {
  ScriptedRun run({}, sgd(0.25), 3, {{2, 0, 1}, {1, 2}, {0}}, {6, 1});
  EXPECT_EQ(run.recorder.staleness(), (std::vector<std::int64_t>{0, 1, 2, 0, 3, 3}));
  // 1 - 3/4 = 1/4; worker 1 at version 3 has 1/4, worker 2 at version 1 has 3/4, worker 0 at version 2 has 1/2.
  const std::vector<float> expected{0.75F, 0.5F, 0.25F, 0.1875F, 0.0F, -0.125F};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(run.recorder.states.at(i)[0], expected[i]) << "update " << i + 1;
}

// AMSGrad, alpha 0.1, by the formulas of kernels/ops/optimizer_step.h in double. First step: g = 1, m = 0.1,
// v = vh = 0.001, rate = 0.1 sqrt(0.001) / 0.1, step = rate 0.1 / (sqrt(0.001) + 1e-8) = 0.1 (1 - 3.2e-7).
// Tolerance: about four roundings of values up to 1 per update.
TEST(Master, AmsgradWeights) {
  ScriptedRun run({}, amsgrad(0.1), 2, {{0}, {1}, {1}, {0}}, {4, 1});
  EXPECT_EQ(run.recorder.staleness(), (std::vector<std::int64_t>{0, 1, 0, 2}));
  const std::vector<double> expected{0.9000000316227665, 0.8000000539890342, 0.7012601626513025, 0.6023440352771844};
  ASSERT_EQ(run.recorder.states.size(), 4U);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(run.recorder.states[i][0], expected[i], 4 * 4 * 0x1p-24) << "update " << i + 1;
  }
}

TEST(Master, EveryUpdateAddsItsBatchStatistics) {
  const QuadraticOptions quadratic{.channels = 2, .rows = 4, .spread = 1.0F};
  ScriptedRun run(quadratic, sgd(0.125), 2, {{1}, {0}, {0}}, {3, 1});
  EXPECT_EQ(run.recorder.batches(), (std::vector<std::int64_t>{1, 0, 2}));
  // The snapshots have the weights of each gradient; the sources recompute the statistics.
  QuadraticSource source(quadratic);
  std::vector<double> running{0, 0, 1, 1};
  const std::vector<std::int64_t> seen{0, 0, 2};
  for (std::size_t i = 0; i < 3; ++i) {
    source.arena().weights().host()[0] =
        seen[i] == 0 ? kFirstWeight : run.recorder.states[static_cast<std::size_t>(seen[i]) - 1][0];
    source.compute({run.recorder.batches()[i]});
    const auto batch = source.arena().batch(engine::StatisticsId{0});
    for (std::size_t c = 0; c < 2; ++c) {
      running[c] += 0.1 * (static_cast<double>(batch.mean.host()[c]) - running[c]);
      running[2 + c] += 0.1 * (static_cast<double>(batch.variance.host()[c]) - running[2 + c]);
    }
  }
  copy(run.model.history.current().state(), run.model.arena.state());
  const auto moments = run.model.arena.running(engine::StatisticsId{0});
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(moments.mean.host()[c], running[c], 3 * 4 * 0x1p-23);  // 3 updates of 4 roundings, values below 2
    EXPECT_NEAR(moments.variance.host()[c], running[2 + c], 3 * 4 * 0x1p-23);
  }
}

TEST(Master, WorkersBeyondTheUpdatesStopAtOnce) {
  ScriptedRun run({}, sgd(0.25), 5, {{1}, {0}}, {2});
  EXPECT_TRUE(run.master.done());
  EXPECT_EQ(run.sources[0]->computed().size(), 1U);
  EXPECT_EQ(run.sources[4]->computed().size(), 0U);
  EXPECT_EQ(run.sources[4]->prepared().size(), 0U);
}

TEST(Master, LeasesAreAnnouncedBeforeTheyAreComputed) {
  ScriptedRun run({}, sgd(0.25), 1, {{0}, {0}, {0}, {0}}, {4});
  EXPECT_EQ(run.sources[0]->prepared(), (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(run.sources[0]->computed(), (std::vector<std::int64_t>{0, 1, 2, 3}));
}

TEST(Master, SnapshotsFollowTheSchedule) {
  ScriptedRun run({}, sgd(0.25), 1, {{0}, {0}, {0}, {0}, {0}, {0}, {0}}, {7, 3});
  EXPECT_EQ(run.recorder.snapshots, (std::vector<std::int64_t>{3, 6, 7}));
  EXPECT_EQ(run.recorder.states.back(), run.model.state());

  ScriptedRun last_only({}, sgd(0.25), 1, {{0}, {0}}, {2, 0});
  EXPECT_EQ(last_only.recorder.snapshots, std::vector<std::int64_t>{2});
}

// For error texts.
template <class Body>
std::string message(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class MasterMessages : public testing::Test {
 protected:
  GradientMessage gradient(int worker, std::int64_t version, std::int64_t batch) {
    return {worker, {version, batch, 0.0, 1, 0}, source.arena().outgoing()};
  }

  QuadraticSource source{QuadraticOptions{}};
  Model model{QuadraticOptions{}, sgd(0.25)};
  Recorder recorder;
  ScriptedControl control;
  MasterState state{model.updater, model.history, {.workers = 2, .schedule = {3}}};
  HandDriven master{state, recorder};
};

TEST_F(MasterMessages, UnknownWorker) {
  master.join(0);
  EXPECT_EQ(message([&] { master.take(gradient(2, 0, 0), 0); }), "master: a gradient of worker 2, there are 2");
  EXPECT_EQ(message([&] { master.take(gradient(-1, 0, 0), 0); }), "master: a gradient of worker -1, there are 2");
  EXPECT_EQ(message([&] { master.take(gradient(1, 0, 1), 0); }), "master: a gradient of worker 1, which has no weights");
  EXPECT_EQ(message([&] { master.join(0); }), "master: worker 0 has joined already");
  EXPECT_EQ(message([&] { master.join(2); }), "master: worker 2 of 2 requests weights");
}

TEST_F(MasterMessages, WrongBatch) {
  master.join(0);
  EXPECT_EQ(message([&] { master.take(gradient(0, 0, 2), 0); }), "leases: worker 0 answers for batch 2, its oldest lease is 0");
  EXPECT_EQ(model.updater.version(), 0) << "nothing was applied";
}

TEST_F(MasterMessages, WrongVersion) {
  master.join(0);
  EXPECT_EQ(message([&] { master.take(gradient(0, 1, 0), 0); }),
            "master: worker 0 computed on version 1 of the weights, it was sent version 0");
}

TEST_F(MasterMessages, WrongSize) {
  master.join(0);
  GradientMessage short_one = gradient(0, 0, 0);
  short_one.values = short_one.values.subspan(0, 3);
  EXPECT_EQ(message([&] { master.take(short_one, 0); }), "master: worker 0 sends 3 floats, a contribution has 16");
}

TEST_F(MasterMessages, WaitingAndStoppedWorker) {
  master.join(0);
  master.join(1);
  const Event event = GradientReady{gradient(1, 0, 1)};
  master.on(std::span(&event, 1));
  EXPECT_FALSE(master.answered(1)) << "worker 0 holds the leases that are left, and may leave";
  EXPECT_EQ(message([&] { master.take(gradient(1, 0, 1), 0); }), "master: a gradient of worker 1, which waits for a lease");
  master.take(gradient(0, 0, 0), 0);
  EXPECT_EQ(master.take(gradient(0, 2, 2), 0).verdict, Verdict::stop);
  EXPECT_EQ(master.latest(1).reply.verdict, Verdict::stop);
  EXPECT_EQ(message([&] { master.take(gradient(1, 0, 1), 0); }), "master: a gradient of worker 1, which has stopped");
}

TEST_F(MasterMessages, InvalidRuns) {
  EXPECT_THROW(MasterState(model.updater, model.history, {.workers = 1, .schedule = {0}}), InputError);
  EXPECT_THROW(MasterState(model.updater, model.history, {.workers = 0, .schedule = {1}}), InputError);
  ScriptedTransport three(std::vector<GradientSource*>{&source, &source, &source}, {});
  EXPECT_EQ(message([&] { run_master(state, three, control, recorder); }), "master: a transport for 3 workers, expected 2");
}

TEST_F(MasterMessages, InvalidCounts) {
  master.join(0);
  GradientMessage wrong = gradient(0, 0, 0);
  wrong.header.top1 = 2;
  wrong.header.top5 = 3;
  EXPECT_TRUE(support::throws<ExchangeError>({"0", "2", "3", "1", "0"}, [&] { master.take(wrong, 0); }));
  wrong.header = {.batch = 0, .rows = 2, .top1 = 1};
  EXPECT_TRUE(support::throws<ExchangeError>({"0", "1", "0", "2", "0"}, [&] { master.take(wrong, 0); }));
  wrong.header = {.batch = 0, .rows = 0};
  EXPECT_THROW(master.take(wrong, 0), ExchangeError);
  EXPECT_EQ(model.updater.version(), 0) << "nothing was applied";
}

// Stopped at version 1: gradients in flight are not applied, and each worker gets a stop.
TEST_F(MasterMessages, StopsAtAVersion) {
  master.join(0);
  master.join(1);
  EXPECT_EQ(master.take(gradient(0, 0, 0), 0).verdict, Verdict::proceed);
  const std::vector<Event> signals{StopRequested{15}, StopRequested{2}};  // the first one is kept
  master.on(signals);
  for (const int worker : {1, 0}) {
    const Reply reply = master.take(gradient(worker, worker == 1 ? 0 : 1, worker == 1 ? 1 : 2), 0);
    EXPECT_EQ(reply.verdict, Verdict::stop);
    EXPECT_EQ(reply.version, 1);
  }
  EXPECT_TRUE(state.done());
  EXPECT_EQ(state.ending().why, Ending::Why::interrupted);
  EXPECT_EQ(state.ending().signal, 15);
  EXPECT_EQ(state.ending().update, 1);
  EXPECT_EQ(model.updater.version(), 1);
  EXPECT_TRUE(recorder.snapshots.empty());
}

TEST_F(MasterMessages, AWorkersSignalStopsTheRunAfterItsGradient) {
  master.join(0);
  GradientMessage last = gradient(0, 0, 0);
  last.header.signal = 2;
  EXPECT_EQ(master.take(last, 0).verdict, Verdict::stop);
  EXPECT_EQ(state.ending().why, Ending::Why::interrupted);
  EXPECT_EQ(state.ending().signal, 2);
  EXPECT_EQ(model.updater.version(), 1);
}

TEST_F(MasterMessages, ALossThatIsNotFiniteEndsTheRunBeforeItsGradient) {
  master.join(0);
  master.join(1);
  GradientMessage diverged = gradient(1, 0, 1);
  diverged.header.loss_sum = -std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(master.take(diverged, 0).verdict, Verdict::stop);
  EXPECT_EQ(master.take(gradient(0, 0, 0), 0).verdict, Verdict::stop);
  EXPECT_EQ(state.ending().why, Ending::Why::diverged);
  ASSERT_TRUE(state.divergence().has_value());
  EXPECT_EQ(state.divergence()->update, 1);
  EXPECT_EQ(state.divergence()->worker, 1);
  EXPECT_EQ(state.divergence()->what, "the loss is -nan");
  EXPECT_EQ(model.updater.version(), 0);
  EXPECT_EQ(model.state()[0], kFirstWeight) << "the weights before it";
}

TEST_F(MasterMessages, AWeightThatIsNotFiniteEndsTheRunAfterItsGradient) {
  master.join(0);
  source.arena().outgoing().host()[0] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(master.take(gradient(0, 0, 0), 0).verdict, Verdict::stop);
  EXPECT_EQ(state.ending().why, Ending::Why::diverged);
  EXPECT_EQ(state.divergence()->what, "w0 is not finite");
  EXPECT_EQ(state.divergence()->update, 1);
}

TEST(Master, KeepsGoingOnRequest) {
  Model model({}, sgd(0.25));
  QuadraticSource source{QuadraticOptions{}};
  Recorder recorder;
  MasterState state(model.updater, model.history, {.schedule = {.total_updates = 2, .keep_going = true}});
  HandDriven master(state, recorder);
  master.join(0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(master.take({0, {.batch = 0, .loss_sum = nan, .rows = 1}, source.arena().outgoing()}, 0).verdict, Verdict::proceed);
  EXPECT_EQ(master.take({0, {.computed_at = 1, .batch = 1, .rows = 1}, source.arena().outgoing()}, 0).verdict, Verdict::stop);
  EXPECT_EQ(state.ending().why, Ending::Why::complete);
  EXPECT_EQ(state.divergence()->update, 1);
  EXPECT_EQ(recorder.snapshots, std::vector<std::int64_t>{2});
}

TEST(Master, EventsHaveTheirTime) {
  Model model({}, sgd(0.25));
  QuadraticSource source{QuadraticOptions{}};
  ScriptedControl control;
  Recorder recorder;
  recorder.then = [&](const UpdateRecord&) { control.time += 1.5; };
  MasterState master(model.updater, model.history, {.schedule = {3}});
  ScriptedTransport transport(std::vector<GradientSource*>{&source}, {{0}, {0}, {0}});
  run_master(master, transport, control, recorder);
  ASSERT_EQ(recorder.records.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(recorder.records[i].at, 1.5 * static_cast<double>(i));
}

TEST(Worker, RefusesInvalidReplies) {
  QuadraticSource source{QuadraticOptions{}};
  const auto refusal = [&](const Reply& reply) {
    return message([&] { Worker(source).accept({reply, source.arena().weights()}); });
  };
  EXPECT_EQ(refusal({.lease_count = 4}), "reply: 4 leases, expected 0 to 3");
  EXPECT_EQ(refusal({.lease_count = -1}), "reply: -1 leases, expected 0 to 3");
  EXPECT_EQ(refusal({.verdict = static_cast<Verdict>(9), .lease_count = 1}), "reply: verdict 9 is unknown, expected 0 or 1");
  EXPECT_EQ(refusal({.lease_count = 1, .version = -4}), "reply: weights of version -4, expected 0 or more");
  EXPECT_EQ(refusal({.lease_count = 1, .leases = {-2, 0}}), "reply: a lease on batch -2, expected 0 or more");
  EXPECT_TRUE(source.prepared().empty());
}

TEST(Script, MustFitTheRun) {
  const auto run = [](const std::vector<std::vector<int>>& script) {
    return message([&] { ScriptedRun({}, sgd(0.25), 2, script, {3}); });
  };
  EXPECT_EQ(run({{0}, {1}, {0}}), "nothing was thrown");
  EXPECT_EQ(run({{0}, {1}}), "script: it has ended, but the master waits for gradients");
  EXPECT_EQ(run({{0}, {1}, {1}}), "script: worker 1 arrives, but it waits for a reply");
  EXPECT_EQ(run({{0, 0}}), "script: worker 0 arrives, but it waits for a reply");
  EXPECT_EQ(run({{2}}), "script: worker 2 of 2 arrives");
  EXPECT_EQ(run({{0}, {1}, {0}, {0}}), "script: 1 arrivals are left after the last update");
}

}  // namespace
}  // namespace apam::exchange::test
