// Sharded masters in one process: the ranges, the followers' checks, and the law that they leave the bits of one master,
// whenever each follower executes an entry.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/lawful_run.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

const QuadraticOptions kShardedModel{.sizes = {33, 5, 70, 300}, .channels = 3, .rows = 2, .spread = 1.5F};

TEST(ShardRanges, CoverTheStateOnce) {
  for (const std::size_t weights : {16U, 64U, 112U, 4096U, 11'173'968U}) {
    for (const int masters : {1, 2, 3, 4, 7}) {
      if (weights / 16 < static_cast<std::size_t>(masters)) continue;
      const auto ranges = split_state(weights, 96, masters);
      ASSERT_EQ(ranges.size(), static_cast<std::size_t>(masters));
      std::size_t end = 0, least = weights, most = 0;
      for (const ShardRange& range : ranges) {
        EXPECT_EQ(range.begin, end);
        EXPECT_EQ(range.begin % 16, 0U);
        EXPECT_GT(range.weights, 0U);
        EXPECT_EQ(range.statistics, &range == &ranges.back() ? 96U : 0U);
        end = range.end();
        least = std::min(least, range.weights);
        most = std::max(most, range.weights);
      }
      EXPECT_EQ(end, weights + 96);
      EXPECT_LE(most - least, 16U) << "nearly equal";
    }
  }
  EXPECT_TRUE(throws<InputError>({"0", "1"}, [] { split_state(64, 0, 0); }));
  EXPECT_TRUE(throws<InputError>({"5 masters", "64 weights", "16"}, [] { split_state(64, 0, 5); }));
  EXPECT_TRUE(throws<InputError>({"17", "16"}, [] { split_state(17, 0, 1); }));
}

// A value that is not finite is found by the shard that owns it, which names the same tensor as one master.
TEST(ShardRanges, KeepTheNamesOfTheModel) {
  const auto model = quadratic_layout(kShardedModel);
  for (const int masters : {1, 2, 3, 5}) {
    for (const ShardRange& range : split_state(model.weights_size(), model.statistics_size(), masters)) {
      const auto layout = layout_of(model, range);
      ASSERT_EQ(layout.weights_size(), range.weights);
      ASSERT_EQ(layout.statistics_size(), range.statistics);
      for (std::size_t i = 0; i < range.size(); ++i) EXPECT_EQ(tensor_at(layout, i), tensor_at(model, range.begin + i));
    }
  }
}

/// Workers whose gradients arrive in a random order of groups.
class RandomArrivals final : public MasterTransport {
 public:
  RandomArrivals(ShardedModel& model, const QuadraticOptions& quadratic, std::uint64_t seed) : seed_(seed) {
    for (int worker = 0; worker < model.workers(); ++worker) {
      workers_.push_back(std::make_unique<One>(quadratic));
      model.set_contribution(worker, workers_.back()->source.arena().outgoing());
    }
  }

  int workers() const override { return static_cast<int>(workers_.size()); }
  std::string_view name() const override { return "random"; }
  std::span<const GradientMessage> poll(Duration /*timeout*/) override {
    std::vector<int> ready;
    for (int worker = 0; worker < workers(); ++worker) {
      if (of(worker).working) ready.push_back(worker);
    }
    messages_.clear();
    for (std::size_t left = 1 + draw(ready.size()); left > 0; --left) {
      const auto chosen = ready.begin() + static_cast<std::ptrdiff_t>(draw(ready.size()));
      One& one = of(*chosen);
      const auto [header, values] = one.worker.next();
      one.working = false;
      one.version = {};
      messages_.push_back({*chosen, header, values});
      ready.erase(chosen);
    }
    return messages_;
  }
  void send(int worker, const Reply& reply, const VersionRef& version) override {
    One& one = of(worker);
    one.version = version;
    one.working = one.worker.accept({reply, version ? version.weights() : ConstSpan<float>()});
  }
  void finish() override {}

 private:
  struct One {
    explicit One(const QuadraticOptions& quadratic) : source(quadratic), worker(source) {}
    QuadraticSource source;
    Worker worker;
    VersionRef version;
    bool working = false;
  };

  One& of(int worker) { return *workers_[static_cast<std::size_t>(worker)]; }
  std::size_t draw(std::size_t below) {
    return static_cast<std::size_t>(Random(seed_, Purpose::sample, 3).below(static_cast<std::uint32_t>(below), drawn_++));
  }

  std::uint64_t seed_, drawn_ = 0;
  std::vector<std::unique_ptr<One>> workers_;
  std::vector<GradientMessage> messages_;
};

/// All that a run leaves.
struct Result {
  std::vector<float> state;
  std::vector<std::vector<float>> snapshots;
  std::vector<std::vector<int>> passes;
  std::vector<double> rates;
  LeaseCounts leases;
};

Result train(Exec& exec, int masters, const PolicyOptions& options, std::uint64_t seed,
             const engine::OptimizerOptions& optimizer) {
  const auto policy = make_policy(options);
  ShardedModel model(exec, kShardedModel, optimizer, {.workers = 3, .masters = masters, .policy = policy.get()});
  std::uint64_t drawn = 0;
  model.at_once = [&] { return Random(seed, Purpose::sample, 4).below(2, drawn++) == 1; };
  RandomArrivals transport(model, kShardedModel, seed);
  Recorder recorder;
  ScriptedControl control;
  MasterState master(model.updater(), model.history,
                     model.of_sequencer({.workers = 3, .schedule = {40, 7}, .policy = policy.get()}));
  run_master(master, transport, control, recorder);
  EXPECT_EQ(master.version(), 40);
  EXPECT_TRUE(model.followers_are_done());
  Result result{model.state(), recorder.states, recorder.passes(), {}, master.leases()};
  for (const UpdateRecord& record : recorder.records) result.rates.push_back(record.rate);
  return result;
}

void expect_the_bits_of_one_master(const std::vector<PolicyOptions>& policies, const engine::OptimizerOptions& optimizer) {
  for (const char* kernels : {"*=reference", "native"}) {
    ExecOptions options;
    options.kernels = KernelSelection::parse(kernels);
    Exec exec(options);
    for (std::uint64_t seed = 0; seed < policies.size(); ++seed) {
      const auto& policy = policies[seed];
      SCOPED_TRACE(fmt::format("{}, {}", kernels, policy.name));
      const Result one = train(exec, 1, policy, seed, optimizer);
      for (const int masters : {2, 3}) {
        const Result several = train(exec, masters, policy, seed, optimizer);
        EXPECT_EQ(several.state, one.state);
        EXPECT_EQ(several.snapshots, one.snapshots);
        EXPECT_EQ(several.passes, one.passes);
        EXPECT_EQ(several.rates, one.rates);
        EXPECT_EQ(several.leases.refused, one.leases.refused);
      }
    }
  }
}

TEST(Shards, LeaveTheBitsOfOneMaster) {
  const std::vector<PolicyOptions> policies{
      {},
      {.name = "bound", .bound = 1},
      {.name = "ringmaster", .bound = 2},
      {.name = "ssp", .bound = 1},
      {.name = "rennala", .gradients = 2},
      {.name = "scaled", .factor = 1.0},
      {.name = "fadas", .bound = 0},
      {.name = "cgad", .bound = 4, .factor = 0.1},
      {.name = "compensated", .factor = 0.5},
      {.name = "cgad", .bound = 4, .factor = 0.1, .warmup_updates = 9, .warmup_gradients = 3}};
  expect_the_bits_of_one_master(policies, amsgrad(0.01));
}

TEST(Shards, LeaveTheBitsOfOneMasterWithMomentum) {
  const std::vector<PolicyOptions> policies{
      {}, {.name = "bound", .bound = 1}, {.name = "scaled", .factor = 1.0}, {.name = "cgad", .bound = 4, .factor = 0.1}};
  expect_the_bits_of_one_master(policies, momentum(0.01, 0.9, true));
}

TEST(Shards, ReportAValueOfAnyRangeThatIsNotFinite) {
  Exec exec = plain_exec();
  using Place = std::pair<std::size_t, std::string>;
  for (const auto& [element, tensor] : std::vector<Place>{{30, "w0"}, {100, "w2"}, {449, "bn.running_mean"}}) {
    for (const int masters : {1, 2, 3}) {
      ShardedModel model(exec, kShardedModel, sgd(0.25), {.workers = 1, .masters = masters});
      Recorder recorder;
      MasterState state(model.updater(), model.history, model.of_sequencer({.schedule = {5}}));
      HandDriven master(state, recorder);
      master.join(0);
      std::vector<float> values(model.history.layout().state());
      model.set_contribution(0, std::span<const float>(values));
      master.take({0, {.batch = 0, .rows = 1}, std::span<const float>(values)});
      values[element] = INFINITY;
      const Reply reply = master.take({0, {.computed_at = 1, .batch = 1, .rows = 1}, std::span<const float>(values)});
      EXPECT_EQ(reply.verdict, Verdict::stop);
      ASSERT_TRUE(state.divergence());
      EXPECT_EQ(state.divergence()->update, 2);
      EXPECT_EQ(state.divergence()->what, tensor + " is not finite") << masters;
      EXPECT_TRUE(model.followers_are_done());
    }
  }
}

TEST(Shards, MustCoverTheState) {
  Exec exec = plain_exec();
  ShardedModel two(exec, kShardedModel, sgd(0.25), {.workers = 1, .masters = 2});
  MasterOptions options = two.of_sequencer({.schedule = {5}});
  options.followers = nullptr;
  EXPECT_TRUE(throws<InputError>({"without"}, [&] { MasterState(two.updater(), two.history, options); }));
  options = {.schedule = {5}, .followers = &two};
  EXPECT_TRUE(throws<InputError>({"updater", "range"}, [&] { MasterState(two.updater(), two.history, options); }));
  ShardedModel one(exec, kShardedModel, sgd(0.25), {.workers = 1});
  options = {.schedule = {5}, .followers = &two};
  EXPECT_TRUE(throws<InputError>({"with"}, [&] { MasterState(one.updater(), one.history, options); }));
}

TEST(Shards, FollowersCheckTheLog) {
  Exec exec = plain_exec();
  ShardedModel model(exec, kShardedModel, sgd(0.25), {.workers = 2, .masters = 2});
  const auto ranges = split_state(model.history.layout().weights, model.history.layout().statistics, 2);
  Shard shard(exec, quadratic_layout(kShardedModel), ranges[1], sgd(0.25));
  const StalenessPolicy none;
  ShardFollower follower(shard.updater, ranges[1], none, model);
  using Change = GradientChange;
  EXPECT_TRUE(throws<ExchangeError>({"0 contributions", "1 to 8"}, [&] { follower.take({.count = 0}); }));
  EXPECT_TRUE(throws<ExchangeError>({"9 contributions", "1 to 8"}, [&] { follower.take({.count = 9}); }));
  EXPECT_TRUE(
      throws<ExchangeError>({"worker 2 of 2"}, [&] { follower.take({.count = 1, .from = 0, .to = 1, .workers = {2}}); }));
  EXPECT_TRUE(throws<ExchangeError>({"slot 4 of 4"}, [&] { follower.take({.count = 1, .from = 0, .to = 4}); }));
  EXPECT_TRUE(throws<ExchangeError>({"slot -1 of 4"}, [&] { follower.take({.count = 1, .from = -1, .to = 1}); }));
  EXPECT_TRUE(throws<ExchangeError>({"slot 7 of 4"}, [&] {
    follower.take({.count = 1, .from = 0, .to = 1, .change = {Change::Kind::compensated, 7, 1.0F}});
  }));
  EXPECT_TRUE(throws<ExchangeError>({"2 changed gradients", "1"}, [&] {
    follower.take({.count = 2, .from = 0, .to = 1, .change = {.kind = Change::Kind::scaled}});
  }));
  EXPECT_EQ(follower.version(), 0);
  follower.take({.kind = ShardPass::Kind::stop});
  EXPECT_TRUE(throws<ExchangeError>({"after the stop"}, [&] { follower.take({.count = 1, .from = 0, .to = 1}); }));
}

// 32 and 16 floats of weights: one range has two lines, the last one the statistics.
const QuadraticOptions kSmallModel{.sizes = {20, 5}, .channels = 1, .rows = 1, .spread = 1.0F};

TEST(ShardLaws, HoldForAllSchedulesOfTwoMastersAndTwoWorkersWithFiveSteps) {
  Exec exec = plain_exec();
  QuadraticSource source{kSmallModel};
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 5, .masters = 2, .model = kSmallModel}), 500);
}

TEST(ShardLaws, HoldForRandomSchedules) {
  Exec exec = plain_exec();
  QuadraticSource source{kSmallModel};
  const std::vector<PolicyOptions> policies{
      {}, {.name = "bound", .bound = 2}, {.name = "ringmaster", .bound = 3}, {.name = "ssp", .bound = 1}};
  std::int64_t early = 0;
  for (std::uint64_t schedule = 0; schedule < 2000 && !testing::Test::HasFailure(); ++schedule) {
    SCOPED_TRACE(fmt::format("schedule {}", schedule));
    std::uint64_t drawn = 0;
    const auto draw = [&](std::size_t below) {
      return static_cast<std::size_t>(Random(schedule, Purpose::sample, 5).below(static_cast<std::uint32_t>(below), drawn++));
    };
    LawfulRun run(exec, source,
                  {.workers = 1 + static_cast<int>(draw(6)),
                   .updates = 1 + static_cast<std::int64_t>(draw(12)),
                   .policy = policies[draw(policies.size())],
                   .snapshot_every = static_cast<std::int64_t>(draw(5)),
                   .masters = 2 + static_cast<int>(draw(2)),
                   .model = kSmallModel},
                  [&] { return draw(2) == 1; });
    random_schedule(run, draw);
    early += run.master().ending().why == Ending::Why::complete ? 0 : 1;
  }
  EXPECT_GT(early, 0) << "some schedules end early";
}

}  // namespace
}  // namespace apam::exchange::test
