// Synchronous training by the first K of N ranks, by messages. The result must have the bits of one process that computes the
// gradients of the ranks that the records name.
#include <gtest/gtest.h>

#include <thread>

#include "apam/exchange/error.h"
#include "apam/exchange/mpi/first_arrivals.h"
#include "tests/exchange/backup_cases.h"
#include "tests/exchange/mpi_world.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using std::chrono::milliseconds;
using support::throws;

mpi::BackupSizes backup_sizes(int first, const QuadraticOptions& model = kSummedModel) {
  const auto layout = quadratic_layout(model);
  return {first, layout.weights_size() + layout.statistics_size(), layout.weights_size()};
}

BackupResult train_by_messages(int first, const Schedule& schedule, const Offers& script, const Happens& happens = {}) {
  QuadraticSource source(kSummedModel);
  auto transport = mpi::make_first_arrivals(world(), backup_sizes(first), source.arena().outgoing(), sends());
  return train_rank_with_backup(std::move(transport), source, schedule, script, happens);
}

void expect_reproducible(const BackupResult& result, int first, std::int64_t updates,
                         const QuadraticOptions& model = kSummedModel) {
  ASSERT_EQ(result.recorder.records.size(), static_cast<std::size_t>(updates));
  EXPECT_EQ(result.state, reproduce(world().ranks(), result.recorder, first, updates, model));
  EXPECT_EQ(result.leases.applied, updates * first);
  EXPECT_EQ(result.leases.granted, result.leases.applied + result.leases.refused + result.leases.abandoned);
  EXPECT_GE(result.leases.abandoned, 0);
}

TEST(MpiBackup, AnUpdateIsTheMeanOfTheFirstGradients) {
  constexpr std::int64_t kUpdates = 15;
  for (int first = 1; first <= world().ranks(); ++first) {
    SCOPED_TRACE(fmt::format("the first {}", first));
    const Offers script = drawn_script(world().ranks(), first, kUpdates, static_cast<std::uint64_t>(first));
    const BackupResult result = train_by_messages(first, {kUpdates, 4}, script);
    expect_reproducible(result, first, kUpdates);
    EXPECT_EQ(result.recorder.snapshots, (std::vector<std::int64_t>{4, 8, 12, 15}));
    EXPECT_EQ(result.leases.refused, static_cast<std::int64_t>(script.size())) << "all that was dropped had been computed";
    for (const UpdateRecord& record : result.recorder.records) {
      for (const int rank : record.ranks) EXPECT_FALSE(script.contains({record.update, rank}));
    }
  }
}

// The last rank computes one gradient while the others make as many updates as they may. It applies them all and continues.
TEST(MpiBackup, ARankThatIsBehindAppliesTheUpdatesItMissed) {
  constexpr std::int64_t kRounds = mpi::BackupSizes::kRounds, kUpdates = 3 * kRounds;
  const int last = world().ranks() - 1;
  const Offers script{{{1, last}, kRounds}};
  const BackupResult result = train_by_messages(last, {kUpdates}, script);
  expect_reproducible(result, last, kUpdates);
  for (std::size_t i = 0; i < static_cast<std::size_t>(kRounds); ++i) {
    EXPECT_FALSE(std::ranges::count(result.recorder.records[i].ranks, last));
  }
  EXPECT_GE(result.leases.abandoned, kRounds - 1) << "the shares that it was dealt and did not compute";
}

TEST(MpiBackup, TheOthersWaitForARankThatIsTooFarBehind) {
  constexpr std::int64_t kRounds = mpi::BackupSizes::kRounds;
  const int last = world().ranks() - 1;
  std::vector<float> contribution(1000, 1.0F), weights(contribution.size());
  const auto arrivals =
      mpi::make_first_arrivals(world(), {last, contribution.size(), contribution.size()}, std::span(contribution), sends());
  arrivals->broadcast(std::span(weights));
  for (std::int64_t update = 1; update <= kRounds + 1; ++update) {
    if (world().rank() != last) {
      EXPECT_TRUE(arrivals->offer(update, {.computed_at = update - 1, .batch = 0, .rows = 1}));
    } else if (update == 1) {
      while (!arrivals->complete(kRounds)) std::this_thread::yield();
      std::this_thread::sleep_for(milliseconds(20));
      EXPECT_FALSE(arrivals->complete(kRounds + 1));
    }
    EXPECT_EQ(arrivals->take(update).values.host()[999], static_cast<float>(last));
    arrivals->release(update);
  }
  arrivals->finish(kRounds + 1);
}

TEST(MpiBackup, ASignalToALateRankStopsAllAfterTheSameUpdate) {
  const int last = world().ranks() - 1;
  Offers script;
  for (std::int64_t update = 1; update <= 1000; ++update) script[{update, last}] = update;
  const BackupResult result = train_by_messages(last, {1000}, script, {.signalled_rank = last});
  EXPECT_EQ(result.ending.why, Ending::Why::interrupted);
  EXPECT_EQ(result.ending.signal, SIGTERM);
  EXPECT_LT(result.ending.update, 1000);
  EXPECT_GE(result.leases.refused, 1);
}

// At any speed, with parts of megabytes: which ranks are first is for the records to say. Snapshots compare the replicas.
TEST(MpiBackup, LargeModels) {
  constexpr std::int64_t kUpdates = 6;
  QuadraticOptions model{.sizes = {1 << 17, 1 << 16, 100, 1 << 16}, .channels = 9, .rows = 3, .spread = 1.0F};
  for (const int slow : {0, world().ranks() - 1}) {
    const int first = world().ranks() - 1;
    model.delay = milliseconds(world().rank() == slow ? 40 : 0);
    QuadraticSource source(model);
    auto transport = mpi::make_first_arrivals(world(), backup_sizes(first, model), source.arena().outgoing(), sends());
    const BackupResult result = train_rank_with_backup(std::move(transport), source, {kUpdates, 3}, {}, {});
    model.delay = {};
    expect_reproducible(result, first, kUpdates, model);
  }
}

TEST(MpiBackup, DifferentSizesAreAnError) {
  std::vector<float> contribution(world().rank() == 1 ? 96 : 80);
  EXPECT_TRUE(throws<ExchangeError>({"rank 1 exchanges", "96 floats", "rank 0", "80 floats"}, [&] {
    mpi::make_first_arrivals(world(), {1, contribution.size(), 80}, std::span(contribution));
  }));
  EXPECT_TRUE(throws<InputError>({"the first 0 of", "expected 1 to all"}, [&] {
    mpi::make_first_arrivals(world(), {0, 80, 80}, std::span(contribution));
  }));
  EXPECT_TRUE(throws<InputError>({"81 gradients of 80"}, [&] {
    mpi::make_first_arrivals(world(), {1, 80, 81}, std::span(contribution));
  }));
}

TEST(MpiBackup, HasTheMemoryOfTheFormula) {
  const mpi::BackupSizes sizes{3, 1000, 900};
  EXPECT_EQ(sizes.bytes(), (4 * 1000 + 3 * 336) * sizeof(float));
}

}  // namespace
}  // namespace apam::exchange::test
