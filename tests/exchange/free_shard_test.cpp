// Masters with orders of their own (Order::free), in one process. Each master takes gradients in an order that the test draws:
// its range must be that of one master with that order, and all must have applied the same gradients when the run has ended.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apam/exchange/error.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/free_run.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

/// Until the end.
void random_schedule(FreeRun& run, int masters, const std::function<std::size_t(std::size_t)>& draw, std::size_t signal_at) {
  for (std::size_t steps = 0; !run.done(); ++steps) {
    ASSERT_LT(steps, 10'000U);
    if (steps == signal_at) run.interrupt(15);
    const auto able = run.able();
    std::vector<int> ready;
    for (int master = 0; master < masters; ++master) {
      if (run.arrived(master) > 0) ready.push_back(master);
    }
    ASSERT_GT(able.size() + ready.size(), 0U) << "deadlock";
    const std::size_t next = draw(able.size() + ready.size());
    if (next < able.size()) {
      run.push(able[next]);
      continue;
    }
    const int master = ready[next - able.size()];
    std::vector<std::size_t> order(run.arrived(master));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = 0; i + 1 < order.size(); ++i) std::swap(order[i], order[i + draw(order.size() - i)]);
    order.resize(1 + draw(order.size()));
    run.take(master, order);
  }
}

void expect_lawful(FreeRun& run, const FreeOptions& options) {
  const std::int64_t updates = run.version(0);
  std::vector<std::int64_t> batches = run.batches(0);
  std::sort(batches.begin(), batches.end());
  EXPECT_EQ(std::adjacent_find(batches.begin(), batches.end()), batches.end()) << "a gradient twice";
  const bool diverged = run.master().divergence().has_value();
  std::vector<float> ranges;
  for (int master = 0; master < options.masters; ++master) {
    EXPECT_EQ(run.version(master), updates);
    auto here = run.batches(master);
    std::sort(here.begin(), here.end());
    EXPECT_EQ(here, batches) << "master " << master;
    const auto range = run.range(master);
    EXPECT_EQ(range, run.replayed(master)) << "master " << master;
    ranges.insert(ranges.end(), range.begin(), range.end());
    if (master > 0) {
      EXPECT_EQ(run.shard(master).staleness().updates(), updates);
    }
  }
  EXPECT_EQ(run.state(), ranges) << "the whole state is with the sequencer";
  EXPECT_EQ(run.master().leases().granted, run.master().leases().ended());
  EXPECT_EQ(run.master().leases().applied, updates);
  const Ending ending = run.master().ending();
  EXPECT_EQ(ending.update, updates);
  if (ending.why == Ending::Why::complete) {
    EXPECT_EQ(updates, options.schedule.total_updates);
    EXPECT_EQ(run.recorder.states.back(), ranges);
  }
  if (ending.why == Ending::Why::diverged) {
    EXPECT_TRUE(diverged && !options.schedule.keep_going);
  } else if (diverged && !options.schedule.keep_going) {
    EXPECT_EQ(ending.why, Ending::Why::interrupted) << "before";
  }
  for (std::size_t i = 0; i < run.recorder.snapshots.size(); ++i) {
    const auto& versions = run.recorder.versions[i];
    ASSERT_EQ(versions.size(), static_cast<std::size_t>(options.masters));
    EXPECT_EQ(versions[0], run.recorder.snapshots[i]);
    for (const std::int64_t one : versions) EXPECT_GE(one, versions[0]);
  }
}

TEST(FreeShards, KeepTheLawsUnderRandomSchedules) {
  Exec exec = plain_exec();
  const std::vector<PolicyOptions> policies{{},
                                            {},
                                            {.name = "ssp", .bound = 1},
                                            {.name = "scaled", .factor = 1.0},
                                            {.name = "cgad", .bound = 4, .factor = 0.1},
                                            {.name = "compensated", .factor = 0.5},
                                            {.name = "rescaled"}};
  std::int64_t early = 0, apart = 0, diverged = 0;
  for (std::uint64_t schedule = 0; schedule < 1500 && !testing::Test::HasFailure(); ++schedule) {
    SCOPED_TRACE(fmt::format("schedule {}", schedule));
    std::uint64_t drawn = 0;
    const auto draw = [&](std::size_t below) {
      return static_cast<std::size_t>(Random(schedule, Purpose::sample, 6).below(static_cast<std::uint32_t>(below), drawn++));
    };
    FreeOptions options{.workers = 1 + static_cast<int>(draw(5)),
                        .masters = 2 + static_cast<int>(draw(2)),
                        .schedule = {1 + static_cast<std::int64_t>(draw(24)), static_cast<std::int64_t>(draw(6))},
                        .policy = policies[draw(policies.size())],
                        .between = draw(3) == 0 ? Between::compute_ahead : Between::wait};
    if (draw(5) == 0) options.infinite = static_cast<std::int64_t>(draw(24));
    options.schedule.keep_going = draw(2) == 0;
    FreeRun run(exec, options);
    random_schedule(run, options.masters, draw, draw(3) == 0 ? draw(40) : 1'000'000);
    if (testing::Test::HasFatalFailure()) return;
    expect_lawful(run, options);
    const auto why = run.master().ending().why;
    early += why == Ending::Why::interrupted ? 1 : 0;
    diverged += why == Ending::Why::diverged ? 1 : 0;
    apart += run.batches(0) != run.batches(1) ? 1 : 0;
  }
  EXPECT_GT(early, 100) << "some schedules end early";
  EXPECT_GT(diverged, 50);
  EXPECT_GT(apart, 500) << "some masters had other orders";
}

TEST(FreeShards, LeaveTheBitsOfOneMasterIfAllHaveItsOrder) {
  Exec exec = plain_exec();
  for (const Between between : {Between::wait, Between::compute_ahead}) {
    for (const PolicyOptions& policy :
         std::vector<PolicyOptions>{{}, {.name = "scaled", .factor = 1.0}, {.name = "compensated", .factor = 0.5}}) {
      FreeRun run(exec, {.workers = 3, .masters = 3, .schedule = {40}, .policy = policy, .between = between});
      for (int next = 0; !run.done(); next = (next * 5 + 1) % 7) {
        const auto able = run.able();
        if (!able.empty()) run.push(able[static_cast<std::size_t>(next) % able.size()]);
        for (int master = 0; master < 3; ++master) {
          while (run.arrived(master) > 0) run.take(master, {0});
        }
      }
      const auto kind = make_policy(policy);
      EXPECT_EQ(run.state(), replay(kFreeModel, amsgrad(0.01), 3, run.recorder.passes(), between, kind.get())) << policy.name;
    }
  }
}

/// A shard of two, with 2 workers that have weights.
struct Single {
  explicit Single(const PolicyOptions& options = {}, FreeShard::Options shard = {.workers = 2})
      : policy(make_policy(options)),
        range(split_state(quadratic_layout(kFreeModel).weights_size(), quadratic_layout(kFreeModel).statistics_size(), 2)[1]),
        half(model.exec, quadratic_layout(kFreeModel), range, sgd(0.5)),
        free(half.updater, model.history, range, *policy, shard),
        gradient(model.history.layout().state(), 1.0F) {}

  GradientMessage message(int worker, std::int64_t computed_at, double loss = 0) const {
    return {worker, {.computed_at = computed_at, .batch = 0, .loss_sum = loss, .rows = 1}, std::span<const float>(gradient)};
  }
  std::vector<std::int64_t> take(const std::vector<GradientMessage>& messages) {
    std::vector<std::int64_t> versions;
    for (const auto& answer : free.take(messages)) versions.push_back(answer.version.version());
    return versions;
  }
  float weight() const { return model.history.current().state().host()[range.begin]; }

  Model model{kFreeModel, sgd(0.5)};
  std::unique_ptr<const StalenessPolicy> policy;
  ShardRange range;
  Shard half;
  FreeShard free;
  std::vector<float> gradient;
};

TEST(FreeShards, CountStalenessInTheirOwnUpdates) {
  Single one({.name = "scaled", .factor = 1.0});
  one.free.start();
  EXPECT_EQ(one.take({one.message(1, 0)}), std::vector<std::int64_t>{1});
  EXPECT_EQ(one.weight(), kFirstWeight - 0.5F);
  // Together, with staleness 1 and 1: half the learning rate.
  EXPECT_EQ(one.take({one.message(0, 0), one.message(1, 1)}), (std::vector<std::int64_t>{3, 3}));
  EXPECT_EQ(one.weight(), kFirstWeight - 0.5F - 0.25F - 0.25F);
  EXPECT_EQ(one.free.staleness().histogram(), (std::vector<std::int64_t>{1, 2}));
}

TEST(FreeShards, AnswerWhatNoMasterApplies) {
  Single one;
  one.free.start();
  const double nan = std::nan("");
  EXPECT_EQ(one.take({one.message(1, 0, nan), one.message(0, 0)}), (std::vector<std::int64_t>{1, 1}));
  EXPECT_EQ(one.free.version(), 1);
  EXPECT_FALSE(one.free.non_finite());
  Single keeps({}, {.workers = 2, .keep_going = true});
  keeps.free.start();
  EXPECT_EQ(keeps.take({keeps.message(1, 0, nan)}), std::vector<std::int64_t>{1});
  EXPECT_EQ(keeps.free.version(), 1);
}

TEST(FreeShards, NameWhoseGradientIsNotFinite) {
  Single one;
  one.free.start();
  one.take({one.message(0, 0)});
  one.gradient[one.range.begin + 2] = INFINITY;
  one.take({one.message(1, 0)});
  ASSERT_TRUE(one.free.non_finite());
  EXPECT_EQ(one.free.non_finite()->update, 2);
  EXPECT_EQ(one.free.non_finite()->worker, 1);
  EXPECT_EQ(one.free.non_finite()->element, one.range.begin + 2);
}

TEST(FreeShards, CheckWhatArrives) {
  Single one;
  EXPECT_TRUE(throws<ExchangeError>({"worker 0", "has no weights"}, [&] { one.take({one.message(0, 0)}); }));
  one.free.start();
  EXPECT_TRUE(throws<ExchangeError>({"worker 0 has weights already"}, [&] { one.free.start(); }));
  EXPECT_TRUE(throws<ExchangeError>({"worker 2", "2"}, [&] { one.take({one.message(2, 0)}); }));
  EXPECT_TRUE(throws<ExchangeError>({"version 3", "version 0"}, [&] { one.take({one.message(0, 3)}); }));
  GradientMessage message = one.message(0, 0);
  message.values = message.values.subspan(0, 16);
  EXPECT_TRUE(throws<ExchangeError>({"floats"}, [&] { one.take({message}); }));
  EXPECT_TRUE(throws<ExchangeError>({"worker 1", "waits for a reply"}, [&] {
    one.take({one.message(1, 0), one.message(1, 0)});
  }));
  Single gone;
  gone.free.start();
  EXPECT_TRUE(gone.take({{0, {.cancelled = 1}, {}}}).empty());
  EXPECT_FALSE(gone.free.done());
  EXPECT_TRUE(throws<ExchangeError>({"worker 0", "has left"}, [&] { gone.take({gone.message(0, 0)}); }));
  gone.take({{1, {.cancelled = 1}, {}}});
  EXPECT_TRUE(gone.free.done());
}

/// A follower that has made more updates than it can have been given.
struct OneUpdateMore final : ShardFollowers {
  void post(const ShardPass& /*pass*/) override {}
  std::optional<ShardFinding> finish() override { return {}; }
  std::vector<std::int64_t> versions() const override { return {2}; }
};

TEST(FreeShards, MustEndTogether) {
  Single one;
  const ShardRange first = split_state(one.model.history.layout().weights, one.model.history.layout().statistics, 2)[0];
  Shard half(one.model.exec, quadratic_layout(kFreeModel), first, sgd(0.5));
  OneUpdateMore others;
  MasterState master(half.updater, one.model.history,
                     {.schedule = {1}, .range = first, .followers = &others, .order = Order::free});
  master.on(Joined{0}, 0);
  EXPECT_TRUE(throws<ExchangeError>({"ends after 1 updates", "another master after 2"},
                                    [&] { master.on(GradientReady{one.message(0, 0)}, 0); }));
}

TEST(FreeShards, ArePartsOfARunThatAppliesEveryGradient) {
  for (const PolicyOptions& policy : std::vector<PolicyOptions>{{.name = "bound", .bound = 3},
                                                                {.name = "ringmaster", .bound = 3},
                                                                {.name = "rennala", .gradients = 2},
                                                                {.name = "none", .warmup_updates = 3, .warmup_gradients = 2}}) {
    EXPECT_TRUE(throws<InputError>({"applies every gradient"}, [&] { Single one(policy); })) << policy.name;
    Exec exec = plain_exec();
    EXPECT_TRUE(throws<InputError>({"applies every gradient", "does not"}, [&] { FreeRun(exec, {.policy = policy}); }));
  }
  EXPECT_TRUE(throws<InputError>({"0 workers"}, [] { Single({}, {.workers = 0}); }));
  Model one(kFreeModel, sgd(0.5));
  EXPECT_TRUE(throws<InputError>({"several masters"},
                                 [&] { MasterState(one.updater, one.history, {.schedule = {5}, .order = Order::free}); }));
}

}  // namespace
}  // namespace apam::exchange::test
