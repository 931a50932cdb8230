// Synchronous training by the first K of N ranks, over shared memory between threads. Which ranks are first is data.
#include "apam/exchange/backup_ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "apam/exchange/error.h"
#include "apam/exchange/local/all_reduce.h"
#include "apam/exchange/local/run_threads.h"
#include "apam/exchange/shared/first_arrivals.h"
#include "kernels/runtime/shared_memory.h"
#include "tests/exchange/backup_cases.h"
#include "tests/exchange/forked.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using shared::BackupGroup;
using shared::BackupLayout;
using shared::make_first_arrivals;
using support::throws;

constexpr std::int64_t kRounds = BackupLayout::kRounds;

struct LocalBackup {
  LocalBackup(int ranks, int first)
      : layout{ranks, first, state(), quadratic_layout(kSummedModel).weights_size()},
        memory(SharedMemory::anonymous("test", layout.bytes())),
        group(BackupGroup::create({memory.data(), memory.size_bytes()}, layout)) {}

  static std::size_t state() {
    const auto model = quadratic_layout(kSummedModel);
    return model.weights_size() + model.statistics_size();
  }

  BackupLayout layout;
  SharedMemory memory;
  BackupGroup group;
};

std::vector<BackupResult> train(int ranks, int first, const Schedule& schedule, const Offers& script,
                                const Happens& happens = {}) {
  const LocalBackup local(ranks, first);
  std::vector<BackupResult> results(static_cast<std::size_t>(ranks));
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < ranks; ++rank) {
    bodies.emplace_back([&, rank] {
      QuadraticSource source(kSummedModel);
      source.use_outgoing(local.group.contribution(rank));
      results[static_cast<std::size_t>(rank)] =
          train_rank_with_backup(make_first_arrivals(local.group, rank), source, schedule, script, happens);
    });
  }
  run_threads(bodies, [&](const std::string& reason) { local.group.close(reason); });
  return results;
}

TEST(BackupRanks, AnUpdateIsTheMeanOfTheFirstGradients) {
  constexpr std::int64_t kUpdates = 15;
  for (const auto& [ranks, first] : std::vector<std::pair<int, int>>{{2, 1}, {3, 2}, {4, 3}, {5, 2}, {7, 6}}) {
    SCOPED_TRACE(fmt::format("the first {} of {}", first, ranks));
    const Offers script = drawn_script(ranks, first, kUpdates, static_cast<std::uint64_t>(ranks));
    const auto results = train(ranks, first, {kUpdates, 4}, script);
    const auto expected = reproduce(ranks, results[0].recorder, first, kUpdates);
    for (const BackupResult& result : results) {
      EXPECT_EQ(result.state, expected) << "replicas are equal to the bit";
      EXPECT_EQ(result.recorder.snapshots, (std::vector<std::int64_t>{4, 8, 12, 15}));
      ASSERT_EQ(result.recorder.records.size(), static_cast<std::size_t>(kUpdates));
      EXPECT_EQ(result.ending.why, Ending::Why::complete);
      for (std::int64_t update = 1; update <= kUpdates; ++update) {
        const auto& record = result.recorder.records[static_cast<std::size_t>(update - 1)];
        EXPECT_EQ(record.update, update);
        EXPECT_EQ(record.header.computed_at, update - 1);
        EXPECT_EQ(record.ranks.size(), static_cast<std::size_t>(first));
        for (const int rank : record.ranks) EXPECT_FALSE(script.contains({update, rank}));
      }
      // All that was dropped had been computed.
      EXPECT_EQ(result.leases.applied, kUpdates * first);
      EXPECT_EQ(result.leases.refused, static_cast<std::int64_t>(script.size()));
      EXPECT_EQ(result.leases.granted, result.leases.applied + result.leases.refused);
      EXPECT_EQ(result.leases.abandoned, 0);
    }
  }
}

TEST(BackupRanks, WithoutThemItIsSynchronousTrainingToTheBit) {
  constexpr int kRanks = 3;
  ThreadsAllReduce group(kRanks);
  std::vector<RankResult> expected(kRanks);
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < kRanks; ++rank) {
    bodies.emplace_back([&, rank] {
      expected[static_cast<std::size_t>(rank)] = train_rank(group.rank(rank), kSummedModel, amsgrad(0.01), {12, 5}, 64);
    });
  }
  run_threads(bodies, [&](const std::string& reason) { group.close(reason); });
  for (const BackupResult& result : train(kRanks, kRanks, {12, 5}, {})) {
    EXPECT_EQ(result.state, expected[0].state);
    EXPECT_EQ(result.recorder.states, expected[0].recorder.states);
    EXPECT_EQ(result.leases.abandoned + result.leases.refused, 0);
  }
}

// Rank 2 computes one gradient while the others make as many updates as they may. It applies them all and continues.
TEST(BackupRanks, ARankThatIsBehindAppliesTheUpdatesItMissed) {
  constexpr std::int64_t kUpdates = 2 * kRounds;
  const Offers script{{{1, 2}, kRounds}};
  const auto results = train(3, 2, {kUpdates}, script);
  const auto expected = reproduce(3, results[0].recorder, 2, kUpdates);
  for (const BackupResult& result : results) {
    EXPECT_EQ(result.state, expected);
    EXPECT_EQ(result.recorder.records.size(), static_cast<std::size_t>(kUpdates));
    for (std::size_t i = 0; i < BackupLayout::kRounds; ++i)
      EXPECT_EQ(result.recorder.records[i].ranks, (std::vector<int>{0, 1}));
    EXPECT_GE(result.leases.refused, 1);
    EXPECT_GE(result.leases.abandoned, kRounds - 1) << "the shares that rank 2 was dealt and did not compute";
  }
  EXPECT_LE(static_cast<std::int64_t>(results[2].computed.size()), kUpdates - kRounds + 1);
}

TEST(BackupRanks, TheOthersWaitForARankThatIsTooFarBehind) {
  const LocalBackup local(2, 1);
  const auto fast = make_first_arrivals(local.group, 0), slow = make_first_arrivals(local.group, 1);
  std::vector<float> weights(local.layout.floats, 1.0F);
  std::vector<std::function<void()>> bodies;
  bodies.emplace_back([&] {
    fast->broadcast(std::span(weights));
    for (std::int64_t update = 1; update <= kRounds + 1; ++update) {
      EXPECT_TRUE(fast->offer(update, {.computed_at = update - 1, .batch = 0, .rows = 1}));
      fast->take(update);
      fast->release(update);
    }
  });
  bodies.emplace_back([&] {
    std::vector<float> copy(local.layout.floats);
    slow->broadcast(std::span(copy));
    while (!slow->complete(kRounds)) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(slow->complete(kRounds + 1));
    slow->take(1);
    slow->release(1);
  });
  run_threads(bodies, [&](const std::string& reason) { local.group.close(reason); });
  EXPECT_TRUE(slow->complete(kRounds + 1));
}

TEST(BackupRanks, ASignalToALateRankStopsAllAfterTheSameUpdate) {
  Offers script;
  for (std::int64_t update = 1; update <= 1000; ++update) script[{update, 2}] = update;
  const auto results = train(3, 2, {1000}, script, {.signalled_rank = 2});
  for (const BackupResult& result : results) {
    EXPECT_EQ(result.ending.why, Ending::Why::interrupted);
    EXPECT_EQ(result.ending.signal, SIGTERM);
    EXPECT_EQ(result.ending.update, results[0].ending.update);
    EXPECT_EQ(result.state, results[0].state);
    EXPECT_GE(result.leases.abandoned, 0);
    EXPECT_GE(result.leases.refused, 1);
  }
  EXPECT_LT(results[0].ending.update, 1000);
}

TEST(BackupRanks, ABrokenReplicaIsFound) {
  EXPECT_TRUE(throws<ExchangeError>({"after update 5", "checksum"}, [] { train(3, 2, {20, 5}, {}, {.bent_rank = 1}); }));
}

TEST(BackupRanks, NeedsOneArenaAndAnUpdate) {
  const LocalBackup local(1, 1);
  const auto arrivals = make_first_arrivals(local.group, 0);
  QuadraticSource source(kSummedModel);
  Model elsewhere(kSummedModel, sgd(0.1));
  Recorder recorder;
  EXPECT_THROW(BackupTrainer(*arrivals, elsewhere.updater, source, {1}, recorder), InputError);
  Exec exec = plain_exec();
  engine::Updater updater(exec, source.arena(), sgd(0.1));
  EXPECT_THROW(BackupTrainer(*arrivals, updater, source, {0}, recorder), InputError);
}

TEST(SharedFirstArrivals, HasTheSizeOfTheFormula) {
  const auto pages = [](std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; };
  for (const auto& [ranks, first] : std::vector<std::pair<int, int>>{{2, 1}, {12, 9}, {70, 60}}) {
    const auto n = static_cast<std::size_t>(ranks), k = static_cast<std::size_t>(first);
    EXPECT_EQ((BackupLayout{ranks, first, 1025, 1025}.bytes()),
              4096 + pages(n * 64) + 8 * pages(n * 8 + k * 96) + 8 * 8192 + n * 8192);
  }
  EXPECT_TRUE(throws<InputError>({"first 3 of 2"}, [] { static_cast<void>(BackupLayout{2, 3, 16, 16}.bytes()); }));
  EXPECT_TRUE(throws<InputError>({"17 gradients of 16"}, [] { static_cast<void>(BackupLayout{2, 1, 16, 17}.bytes()); }));
  EXPECT_THROW(static_cast<void>(BackupLayout{2, 1, ~std::size_t{0} / 4, 1}.bytes()), DeviceError);
}

TEST(SharedFirstArrivals, RefusesOtherGroupsAndOtherOrders) {
  const LocalBackup local(3, 2);
  const std::span<std::byte> memory{local.memory.data(), local.memory.size_bytes()};
  BackupLayout other = local.layout;
  other.first = 1;
  EXPECT_TRUE(throws<ExchangeError>({"first 2 of 3", "1 of 3"}, [&] { BackupGroup::open(memory, other); }));
  EXPECT_THROW(make_first_arrivals(local.group, 3), ExchangeError);
  const auto rank = make_first_arrivals(local.group, 1);
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "update 2 after update 0"}, [&] { rank->offer(2, {}); }));
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "update 2 after update 0"}, [&] { rank->take(2); }));
  EXPECT_TRUE(throws<ExchangeError>({"rank 1", "update 1 after 0"}, [&] { rank->release(1); }));
  local.group.close("the disk is full");
  EXPECT_TRUE(throws<ExchangeError>({"closed", "the disk is full"}, [&] { rank->take(1); }));
}

TEST(SharedFirstArrivals, ARankWhoseProcessEndsEndsTheOthers) {
  const LocalBackup local(2, 1);
  const Forked other(1, [](int) { std::this_thread::sleep_for(std::chrono::seconds(60)); });
  const ProcessWatch watch(other.processes());
  other.kill(0);
  const auto arrivals = make_first_arrivals(local.group, 0, &watch);
  EXPECT_TRUE(throws<ExchangeError>({"rank 0", "ended"}, [&] { arrivals->take(1); }));
}

}  // namespace
}  // namespace apam::exchange::test
