// Laws of the master under all schedules of a small run, and under many random ones: arrivals in any order and any groups,
// workers that leave, signals, refusals. Time and waiting do not exist here: a schedule is a list of choices.
//
//   every call     the state is that of single updates, bit for bit; every reply carries a version that was published,
//                  unchanged; no batch is applied twice; tau is exact, and within the bound
//   at the end     every worker has been stopped or has left; granted = applied + refused + cancelled + abandoned; every batch
//                  is applied exactly once unless the run ended early; a replay of the events ends with the same bits
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>

#include "apam/exchange/error.h"
#include "apam/exchange/policies/policy.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/lawful_run.h"

namespace apam::exchange::test {
namespace {

constexpr std::uint64_t kRandomSchedules = 100000;
constexpr std::uint64_t kFewestSchedules = 5000;  // under sanitizers
constexpr auto kLongest = std::chrono::seconds(10);

class Laws : public testing::Test {
 protected:
  Exec exec = plain_exec();
  QuadraticSource source{kLawModel};
};

TEST_F(Laws, HoldForAllSchedulesOfTwoWorkersWithThreeStepsEach) {
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 6}), 500);
}

TEST_F(Laws, HoldForAllSchedulesOfWorkersThatComputeAhead) {
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 6, .between = Between::compute_ahead}), 500);
  for (const PolicyOptions& policy : {PolicyOptions{.name = "bound", .bound = 1}, {.name = "ringmaster", .bound = 2}}) {
    EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 4, .policy = policy, .between = Between::compute_ahead}), 100);
  }
}

TEST_F(Laws, HoldForAllSchedulesWithRefusals) {
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 4, .policy = {.name = "bound", .bound = 1}}), 100);
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 4, .policy = {.name = "ringmaster", .bound = 2}}), 100);
}

// Seeded by the number of the schedule, which a failure names. As many as there is time for, where sanitizers are slow.
TEST_F(Laws, HoldForRandomSchedules) {
  const std::vector<PolicyOptions> policies{
      {}, {.name = "bound", .bound = 2}, {.name = "ringmaster", .bound = 3}, {.name = "ssp", .bound = 1}};
  std::int64_t early = 0;
  const auto end = std::chrono::steady_clock::now() + kLongest;
  for (std::uint64_t schedule = 0; schedule < kRandomSchedules && !HasFailure(); ++schedule) {
    if (schedule >= kFewestSchedules && schedule % 1000 == 0 && std::chrono::steady_clock::now() > end) break;
    SCOPED_TRACE(fmt::format("schedule {}", schedule));
    std::uint64_t drawn = 0;
    const auto draw = [&](std::size_t below) {
      return static_cast<std::size_t>(Random(schedule, Purpose::sample, 1).below(static_cast<std::uint32_t>(below), drawn++));
    };
    LawfulRun run(exec, source,
                  {.workers = 1 + static_cast<int>(draw(10)),
                   .updates = 1 + static_cast<std::int64_t>(draw(24)),
                   .policy = policies[draw(policies.size())],
                   .snapshot_every = static_cast<std::int64_t>(draw(5)),
                   .between = draw(2) == 0 ? Between::wait : Between::compute_ahead});
    random_schedule(run, draw);
    early += run.master().ending().why == Ending::Why::complete ? 0 : 1;
  }
  EXPECT_GT(early, 0) << "some schedules end early";
}

// k gradients in one call are k single updates, for every k and in random order; the single ones go through the same master.
TEST_F(Laws, CoalescedIsOneByOne) {
  for (int k = 1; k <= MasterState::kMostTogether; ++k) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      std::vector<int> order(static_cast<std::size_t>(k));
      std::iota(order.begin(), order.end(), 0);
      for (std::size_t i = 0; i < order.size(); ++i) {
        const auto rest = static_cast<std::uint32_t>(order.size() - i);
        std::swap(order[i], order[i + Random(seed, Purpose::sample, 2).below(rest, i)]);
      }
      LawfulRun together(exec, source, {.workers = k, .updates = 2 * k}),
          singly(exec, source, {.workers = k, .updates = 2 * k});
      together.arrive(order);
      for (const int worker : order) singly.arrive({worker});
      EXPECT_EQ(together.state(), singly.state()) << "k = " << k;
      EXPECT_EQ(together.master().staleness().histogram(), singly.master().staleness().histogram());
    }
  }
}

}  // namespace
}  // namespace apam::exchange::test
