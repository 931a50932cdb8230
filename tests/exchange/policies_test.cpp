// Staleness policies: what each does to a gradient, with arrivals that are known in advance.
#include "apam/exchange/policies/policy.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/local/scripted.h"
#include "apam/exchange/local/threads.h"
#include "tests/exchange/support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;
using WorkersOfPasses = std::vector<std::vector<int>>;

/// One weight that starts at 1; the gradient is the weight.
struct PolicyRun {
  PolicyRun(const PolicyOptions& options, int workers, const WorkersOfPasses& script, std::int64_t updates,
            const engine::OptimizerOptions& optimizer = sgd(0.25), std::int64_t snapshot_every = 1,
            Between between = Between::wait)
      : policy(make_policy(options)),
        model({}, optimizer, between == Between::wait ? workers : 2 * workers),
        sources(make_sources({}, std::vector<std::chrono::milliseconds>(static_cast<std::size_t>(workers)))),
        master(model.updater, model.history,
               {.workers = workers,
                .schedule = {updates, snapshot_every},
                .policy = policy.get(),
                .ahead = between == Between::compute_ahead}) {
    std::vector<engine::ParameterArena> arenas;
    for (int worker = 0; worker < workers; ++worker) arenas.push_back(make_second({}));
    std::vector<Span<float>> seconds;
    for (const auto& arena : arenas) seconds.push_back(between == Between::wait ? Span<float>() : arena.outgoing());
    ScriptedTransport transport(pointers(sources), seconds, script);
    run_master(master, transport, control, recorder);
  }

  std::vector<float> weights() const {
    std::vector<float> result;
    for (const auto& state : recorder.states) result.push_back(state[0]);
    return result;
  }

  std::unique_ptr<const StalenessPolicy> policy;
  Model model;
  std::vector<std::unique_ptr<QuadraticSource>> sources;
  Recorder recorder;
  ScriptedControl control;
  MasterState master;
};

using Taus = std::vector<std::int64_t>;
using Floats = std::vector<float>;

TEST(Policies, NoneIsTheDefault) {
  const WorkersOfPasses script{{0}, {1}, {1}, {0}};
  PolicyRun run({}, 2, script, 4, amsgrad(0.1));
  EXPECT_EQ(run.recorder.staleness(), (Taus{0, 1, 0, 2}));
  EXPECT_EQ(run.model.state(), replay({}, amsgrad(0.1), 2, script));
}

// Worker 1 is refused with tau 2, and its batch 1 is dealt again: to worker 1 itself, behind the batch 3 that it holds.
TEST(Policies, BoundRefusesAndDealsAgain) {
  PolicyRun run({.name = "bound", .bound = 1}, 2, {{0}, {0}, {1}, {1}, {0}, {1}}, 5);
  EXPECT_EQ(run.recorder.staleness(), (Taus{0, 0, 0, 1, 1}));
  EXPECT_EQ(run.recorder.batches(), (std::vector<std::int64_t>{0, 2, 3, 4, 1}));
  EXPECT_EQ(run.master.leases().refused, 1);
  EXPECT_EQ(run.master.leases().granted, 6);
  EXPECT_EQ(run.master.leases().applied, 5);
  EXPECT_EQ(run.sources[1]->computed(), (std::vector<std::int64_t>{1, 3, 1}));
}

TEST(Policies, RingmasterRefusesAtItsBoundAndCancels) {
  const auto policy = make_policy({.name = "ringmaster", .bound = 2});
  Model model({}, sgd(0.25), 2);
  QuadraticSource source{QuadraticOptions{}};
  Recorder recorder;
  MasterState state(model.updater, model.history, {.workers = 2, .schedule = {4}, .policy = policy.get()});
  HandDriven master(state, recorder);
  master.join(0);
  master.join(1);
  const auto gradient = [&](int worker, std::int64_t version, std::int64_t batch) {
    return GradientMessage{worker, {.computed_at = version, .batch = batch, .rows = 1}, source.arena().outgoing()};
  };
  master.take(gradient(0, 0, 0));
  EXPECT_TRUE(master.cancelled().empty());
  EXPECT_THROW(master.take({1, {.batch = 1, .cancelled = 1}, {}}), ExchangeError) << "it was not asked to";
  const auto deliver = [&](const GradientMessage& message) {
    const Event event = GradientReady{message};
    master.on(std::span(&event, 1));
  };
  deliver(gradient(0, 1, 2));  // worker 0 waits then: worker 1 holds the leases 1 and 3
  EXPECT_EQ(master.cancelled(), std::vector<int>{1}) << "two updates since its weights";
  // It has given up batch 1 and continues with batch 3 on new weights; batch 1 is dealt again.
  const Reply reply = master.take({1, {.batch = 1, .cancelled = 1}, {}});
  EXPECT_EQ(reply.version, 2);
  EXPECT_EQ(reply.leases[0], 1);
  EXPECT_EQ(state.leases().cancelled, 1);
  deliver(gradient(1, 2, 3));
  deliver(gradient(1, 3, 1));
  EXPECT_TRUE(state.done());
  EXPECT_EQ(state.leases().granted, state.leases().ended());
}

TEST(Policies, RingmasterRefusesWhatWasNotCancelledInTime) {
  PolicyRun run({.name = "ringmaster", .bound = 2}, 2, {{0}, {0}, {1}, {1}, {1}}, 4);
  EXPECT_EQ(run.recorder.staleness(), (Taus{0, 0, 0, 0}));
  EXPECT_EQ(run.master.leases().refused, 1);
}

// One gradient ahead is allowed: worker 0 waits after its second one until worker 1 has delivered.
TEST(Policies, SspLetsTheFastWait) {
  PolicyRun run({.name = "ssp", .bound = 1}, 2, {{0}, {0}, {1}, {0}, {1}, {1}}, 6);
  EXPECT_EQ(run.recorder.workers(), (std::vector<int>{0, 0, 1, 0, 1, 1}));
  EXPECT_TRUE(throws<InputError>({"worker 0", "waits for a reply"}, [] {
    PolicyRun({.name = "ssp", .bound = 1}, 2, {{0}, {0}, {0}}, 6);
  }));
}

// An update is the mean of two gradients of its version: w - w/4. A gradient of an older version is refused.
TEST(Policies, RennalaAveragesGradientsOfTheCurrentVersion) {
  PolicyRun run({.name = "rennala", .gradients = 2}, 2, {{0}, {0}, {1}, {1}, {1}}, 2);
  EXPECT_EQ(run.weights(), (Floats{0.75F, 0.5625F}));
  EXPECT_EQ(run.recorder.staleness(), (Taus{0, 0}));
  EXPECT_EQ(run.recorder.records[0].header.rows, 2) << "of both gradients";
  EXPECT_EQ(run.master.leases().applied, 4);
  EXPECT_EQ(run.master.leases().refused, 1);
  EXPECT_EQ(run.master.leases().granted, 5);
}

// Two updates by means of two gradients, w - w/4. The second gradient of worker 0, on version 0, is refused; the second mean is
// of two more of its own. From then on all are stale by one, and the policy halves their steps: 1/8 of the weight before.
TEST(Policies, AWarmUpIsSynchronousAndThenThePolicyDecides) {
  PolicyRun run({.name = "scaled", .factor = 1.0, .warmup_updates = 2, .warmup_gradients = 2}, 2,
                {{0}, {1}, {0}, {0}, {0}, {1}, {0}, {1}}, 5);
  EXPECT_EQ(run.recorder.staleness(), (Taus{0, 0, 1, 1, 1}));
  const float after_3 = 0.5625F - 0.75F / 8, after_4 = after_3 - 0.5625F / 8;
  EXPECT_EQ(run.weights(), (Floats{0.75F, 0.5625F, after_3, after_4, after_4 - after_3 / 8}));
  EXPECT_EQ(run.recorder.records[1].header.rows, 2);
  EXPECT_EQ(run.recorder.records[2].header.rows, 1);
  EXPECT_EQ(run.master.leases().applied, 7);
  EXPECT_EQ(run.master.leases().refused, 1);
}

TEST(Policies, UpdatesAndBatchesOfAWarmUp) {
  const auto policy = make_policy({.name = "rennala", .gradients = 2, .warmup_updates = 3, .warmup_gradients = 4});
  const std::vector<std::int64_t> updates{0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5};  // of 0, 1, 2 ... batches
  for (std::size_t i = 0; i < updates.size(); ++i) EXPECT_EQ(policy->updates_of(static_cast<std::int64_t>(i)), updates[i]) << i;
  EXPECT_EQ(policy->batches_of(2), 8);
  EXPECT_EQ(policy->batches_of(5), 16);
  EXPECT_EQ(policy->gradients_per_update(3), 4);
  EXPECT_EQ(policy->gradients_per_update(4), 2);
}

/// One worker and means of two gradients, given to the master directly.
struct TwoForAMean {
  explicit TwoForAMean(const Schedule& schedule)
      : state(model.updater, model.history, {.schedule = schedule, .policy = policy.get()}) {
    master.join(0);
  }
  void deliver(std::int64_t batch, float gradient, int signal = 0) {
    source.arena().outgoing().host()[0] = gradient;
    const Event event = GradientReady{{0, {.batch = batch, .rows = 1, .signal = signal}, source.arena().outgoing()}};
    master.on(std::span(&event, 1));
  }

  std::unique_ptr<const StalenessPolicy> policy = make_policy({.name = "rennala", .gradients = 2});
  Model model{{}, sgd(0.25), 1};
  QuadraticSource source{QuadraticOptions{}};
  Recorder recorder;
  MasterState state;
  HandDriven master{state, recorder};
};

TEST(Policies, ASignalWithTheLastGradientOfAMeanLeavesBothApplied) {
  TwoForAMean run({4});
  run.deliver(0, 1.0F);
  run.deliver(1, 1.0F, 15);
  EXPECT_EQ(run.state.ending().why, Ending::Why::interrupted);
  EXPECT_EQ(run.state.version(), 1);
  EXPECT_EQ(run.state.leases().applied, 2);
  EXPECT_EQ(run.state.leases().granted, run.state.leases().ended());
}

TEST(Policies, ADivergenceByAMeanLeavesBothApplied) {
  TwoForAMean run({1});  // no leases are left then
  run.deliver(0, INFINITY);
  run.deliver(1, INFINITY);
  EXPECT_EQ(run.state.ending().why, Ending::Why::diverged);
  EXPECT_EQ(run.state.leases().applied, 2);
  EXPECT_TRUE(run.state.done());
}

TEST(Policies, ALossOfARefusedGradientEndsNothing) {
  const auto policy = make_policy({.name = "bound", .bound = 0});
  Model model({}, sgd(0.25), 2);
  QuadraticSource source{QuadraticOptions{}};
  Recorder recorder;
  MasterState state(model.updater, model.history, {.workers = 2, .schedule = {4}, .policy = policy.get()});
  HandDriven master(state, recorder);
  master.join(0);
  master.join(1);
  master.take({0, {.batch = 0, .rows = 1}, source.arena().outgoing()});
  master.take({1, {.batch = 1, .loss_sum = NAN, .rows = 1}, source.arena().outgoing()});
  EXPECT_EQ(state.ending().why, Ending::Why::complete);
  EXPECT_EQ(state.leases().refused, 1);
  EXPECT_FALSE(state.divergence());
}

TEST(Policies, TheLastRennalaUpdateMayBeSmaller) {
  const auto policy = make_policy({.name = "rennala", .gradients = 3});
  Model model({}, sgd(0.25), 1);
  QuadraticSource source{QuadraticOptions{}};
  Recorder recorder;
  ScriptedControl control;
  MasterState master(model.updater, model.history, {.schedule = {2}, .policy = policy.get(), .batches = 4});
  train_on_threads(master, std::vector<GradientSource*>{&source}, control, recorder);
  EXPECT_EQ(source.computed(), (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(recorder.records[1].header.rows, 1);
  EXPECT_EQ(model.state()[0], 0.5625F);
  EXPECT_THROW(MasterState(model.updater, model.history, {.schedule = {2}, .policy = policy.get(), .batches = 7}), InputError);
}

// Staleness 0, 1: w = 1 - 1/4, then a step of 1/4 / (1 + 1) on a gradient of 1.
TEST(Policies, ScaledShrinksTheStep) {
  PolicyRun run({.name = "scaled", .factor = 1.0}, 2, {{0}, {1}}, 2);
  EXPECT_EQ(run.weights(), (Floats{0.75F, 0.625F}));
  EXPECT_EQ(run.recorder.records[1].rate, 0.125);
}

// A rate of 4 is capped at 1 / tau: staleness 0, 1, 2, of which 0 is within the bound.
TEST(Policies, FadasCapsTheRate) {
  PolicyRun run({.name = "fadas", .bound = 0}, 3, {{0}, {1}, {2}}, 3, sgd(4));
  EXPECT_EQ(run.weights(), (Floats{-3.0F, -4.0F, -4.5F}));
  EXPECT_EQ(run.recorder.records[2].rate, 0.5);
  PolicyRun bounded({.name = "fadas", .bound = 1}, 3, {{0}, {1}, {2}}, 3, sgd(4));
  EXPECT_EQ(bounded.weights(), (Floats{-3.0F, -7.0F, -7.5F}));
}

// Gate (1 + cos(pi/2)) / 2 = 1/2 at tau = 1 of R = 2, and 0 from tau = 2 on.
TEST(Policies, CgadScalesTheGradientBeforeTheMoments) {
  PolicyRun run({.name = "cgad", .bound = 2, .factor = 0.0}, 3, {{0}, {1}, {2}}, 3);
  EXPECT_EQ(run.weights(), (Floats{0.75F, 0.625F, 0.625F}));
  PolicyRun decayed({.name = "cgad", .bound = 2, .factor = std::log(2.0)}, 2, {{0}, {1}}, 2);
  EXPECT_EQ(decayed.weights(), (Floats{0.75F, 0.6875F}));
}

// w = 1, 3/4; g = 1 with w_now - w_base = -1/4: 1 - C/4.
TEST(Policies, CompensatedCorrectsTheGradient) {
  PolicyRun run({.name = "compensated", .factor = 2.0}, 2, {{0}, {1}}, 2);
  EXPECT_EQ(run.weights(), (Floats{0.75F, 0.625F}));
}

// Computed ahead: update 2 is g = 1 of w = 1, as above; update 3 is g = 3/4 of w = 3/4 at w_now = 5/8: g - C g g / 8 = 39/64.
TEST(Policies, CompensatedKnowsTheVersionOfAGradientComputedAhead) {
  const PolicyOptions options{.name = "compensated", .factor = 2.0};
  const PolicyRun one(options, 1, {{0}, {0}, {0}}, 3, sgd(0.25), 1, Between::compute_ahead);
  EXPECT_EQ(one.weights(), (Floats{0.75F, 0.625F, 0.625F - 39.0F / 256.0F}));
  WorkersOfPasses script;
  for (int round = 0; round < 6; ++round) script.insert(script.end(), {{0}, {1, 2}});
  const PolicyRun three(options, 3, script, 18, sgd(0.25), 1, Between::compute_ahead);
  EXPECT_EQ(three.master.ending().why, Ending::Why::complete) << "two versions per worker are enough";
}

std::vector<double> rates(const Recorder& recorder) {
  std::vector<double> result;
  for (const UpdateRecord& record : recorder.records) result.push_back(record.rate);
  return result;
}

// Of two workers: the first gradient of each counts once, then 1/2 per update since its worker's last one.
TEST(Policies, RescaledWeighsAGradientByTheUpdatesSinceItsWorkersLast) {
  PolicyRun run({.name = "rescaled"}, 2, {{0}, {1}, {1, 0}, {1}, {1}, {0}, {0}}, 8, sgd(0.25), 0);
  EXPECT_EQ(rates(run.recorder), (std::vector<double>{0.25, 0.25, 0.125, 0.375, 0.25, 0.125, 0.375, 0.125}));
  EXPECT_EQ(run.recorder.records[3].place, 2) << "gaps count within a pass too";
}

TEST(Policies, RescaledChangesNothingForWorkersThatTakeTurns) {
  WorkersOfPasses script;
  for (int round = 0; round < 8; ++round) script.insert(script.end(), {{0}, {1, 2}});
  PolicyRun run({.name = "rescaled"}, 3, script, 24, amsgrad(0.1), 0);
  EXPECT_EQ(run.model.state(), replay({}, amsgrad(0.1), 3, script));
}

// Worker 0 makes 8 of 11 updates. All have the same weight, to within a gap, and only with the policy.
TEST(Policies, RescaledGivesWorkersOfAnySpeedTheSameWeight) {
  WorkersOfPasses script;
  for (int round = 0; round < 20; ++round) script.insert(script.end(), {{0}, {0, 1}, {0}, {0}, {0, 2}, {0}, {0}, {0, 1}});
  script.insert(script.end(), {{0}, {1}, {2}, {0}, {1}, {2}});  // each holds two leases at the end
  constexpr std::int64_t kUpdates = 20 * 11 + 6, kGap = 11;
  for (const std::string name : {"rescaled", "none"}) {
    PolicyRun run({.name = name}, 3, script, kUpdates, sgd(0.25), 0);
    std::array<double, 3> weights{};
    for (const UpdateRecord& record : run.recorder.records)
      weights.at(static_cast<std::size_t>(record.worker)) += record.rate / 0.25;
    for (const double weight : weights) {
      const double difference = std::abs(weight - kUpdates / 3.0);
      if (name == "none") {
        EXPECT_GT(difference, 30);
      } else {
        EXPECT_LE(difference, 1 + 2 * kGap / 3.0);
      }
    }
  }
}

// Worker 1 leaves: its share is divided among the others.
TEST(Policies, RescaledCountsTheWorkersThatAreLeft) {
  const auto policy = make_policy({.name = "rescaled"});
  Model model({}, sgd(0.25), 2);
  QuadraticSource source{QuadraticOptions{}};
  Recorder recorder;
  MasterState state(model.updater, model.history, {.workers = 2, .schedule = {3}, .policy = policy.get()});
  HandDriven master(state, recorder);
  master.join(0);
  master.join(1);
  const Event left = Departed{1, "killed"};
  master.take({0, {.batch = 0, .rows = 1}, source.arena().outgoing()});
  master.on(std::span(&left, 1));
  master.take({0, {.computed_at = 1, .batch = 2, .rows = 1}, source.arena().outgoing()});
  EXPECT_EQ(rates(recorder), (std::vector<double>{0.25, 0.25}));
}

TEST(Policies, WithoutStalenessAllAreLocalTrainingToTheBit) {
  const QuadraticOptions quadratic{.sizes = {33, 5}, .channels = 3, .rows = 6, .spread = 1.5F};
  Recorder local;
  const auto expected = train_direct(quadratic, amsgrad(0.01), {20, 1}, local);
  for (const PolicyOptions& options : std::vector<PolicyOptions>{{.name = "bound", .bound = 0},
                                                                 {.name = "ringmaster", .bound = 1},
                                                                 {.name = "ssp", .bound = 0},
                                                                 {.name = "rennala", .gradients = 1},
                                                                 {.name = "scaled", .factor = 1.0},
                                                                 {.name = "fadas", .bound = 0},
                                                                 {.name = "cgad", .bound = 3, .factor = 0.5},
                                                                 {.name = "compensated", .factor = 0.5},
                                                                 {.name = "rescaled"}}) {
    const auto policy = make_policy(options);
    Model model(quadratic, amsgrad(0.01), 1);
    QuadraticSource source(quadratic);
    Recorder recorder;
    ScriptedControl control;
    MasterState master(model.updater, model.history, {.schedule = {20, 1}, .policy = policy.get()});
    train_on_threads(master, std::vector<GradientSource*>{&source}, control, recorder);
    EXPECT_EQ(model.state(), expected) << options.name;
    EXPECT_EQ(recorder.states, local.states) << options.name;
  }
}

TEST(Policies, RunOnThreads) {
  const QuadraticOptions quadratic{.sizes = {40}, .rows = 2, .spread = 1.0F};
  for (const PolicyOptions& options : std::vector<PolicyOptions>{{.name = "bound", .bound = 1},
                                                                 {.name = "ringmaster", .bound = 2},
                                                                 {.name = "ssp", .bound = 1},
                                                                 {.name = "rennala", .gradients = 2},
                                                                 {.name = "compensated", .factor = 0.5},
                                                                 {.warmup_updates = 20, .warmup_gradients = 3}}) {
    const auto policy = make_policy(options);
    using std::chrono::milliseconds;
    const auto sources = make_sources(quadratic, {milliseconds(0), milliseconds(1), milliseconds(3)});
    Model model(quadratic, amsgrad(0.01), 3);
    Recorder recorder;
    ScriptedControl control;
    MasterState master(model.updater, model.history, {.workers = 3, .schedule = {60}, .policy = policy.get()});
    train_on_threads(master, pointers(sources), control, recorder);
    EXPECT_EQ(master.ending().why, Ending::Why::complete) << options.name;
    EXPECT_EQ(recorder.records.size(), 60U);
    const LeaseCounts& counts = master.leases();
    EXPECT_EQ(counts.granted, counts.ended()) << options.name;
    EXPECT_EQ(counts.applied, policy->batches_of(60));
    if (options.name == "bound") {
      EXPECT_LE(master.staleness().max(), 1);
    }
    if (options.name == "ringmaster") {
      EXPECT_LT(master.staleness().max(), 2);
    }
  }
}

TEST(Policies, ParametersAreChecked) {
  EXPECT_TRUE(throws<InputError>({"'old'"}, [] { make_policy({.name = "old"}); }));
  EXPECT_TRUE(throws<InputError>({"bound", "needs a bound"}, [] { make_policy({.name = "bound"}); }));
  EXPECT_TRUE(throws<InputError>({"none", "has no bound"}, [] { make_policy({.bound = 3}); }));
  EXPECT_TRUE(throws<InputError>({"rennala", "needs a number of gradients"}, [] { make_policy({.name = "rennala"}); }));
  EXPECT_TRUE(throws<InputError>({"scaled", "needs a factor"}, [] { make_policy({.name = "scaled"}); }));
  EXPECT_TRUE(throws<InputError>({"ringmaster", "0", "1"}, [] { make_policy({.name = "ringmaster", .bound = 0}); }));
  EXPECT_TRUE(throws<InputError>({"0", "1"}, [] { make_policy({.name = "rennala", .gradients = 0}); }));
  EXPECT_TRUE(throws<InputError>({"-1", "0"}, [] { make_policy({.name = "scaled", .factor = -1.0}); }));
  EXPECT_THROW(make_policy({.name = "scaled", .factor = INFINITY}), InputError);
  EXPECT_TRUE(throws<InputError>({"none", "-1", "1"}, [] { make_policy({.warmup_updates = -1}); }));
  EXPECT_TRUE(throws<InputError>({"none", "5", "0"}, [] { make_policy({.warmup_updates = 5, .warmup_gradients = 0}); }));
  EXPECT_EQ(policy_names().front(), "none");
  EXPECT_EQ(policy_names().size(), 10U);
}

}  // namespace
}  // namespace apam::exchange::test
