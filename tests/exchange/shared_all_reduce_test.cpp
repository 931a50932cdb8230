// Synchronous training through shared memory: between threads and between processes, with the bits of every other run.
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "apam/exchange/error.h"
#include "apam/exchange/local/all_reduce.h"
#include "apam/exchange/local/run_threads.h"
#include "apam/exchange/shared/all_reduce.h"
#include "kernels/runtime/shared_memory.h"
#include "tests/exchange/forked.h"
#include "tests/exchange/synchronous_cases.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using shared::Group;
using shared::GroupLayout;
using shared::make_all_reduce;
using support::throws;

struct LocalGroup {
  explicit LocalGroup(int ranks, std::size_t floats = contribution_floats())
      : layout{ranks, floats},
        memory(SharedMemory::anonymous("test", layout.bytes())),
        group(Group::create({memory.data(), memory.size_bytes()}, layout)) {}

  static std::size_t contribution_floats() {
    const auto model = quadratic_layout(kSummedModel);
    return model.weights_size() + model.statistics_size();
  }

  GroupLayout layout;
  SharedMemory memory;
  Group group;
};

std::vector<RankResult> train(int ranks, const Schedule& schedule, std::size_t bucket_floats = 64) {
  const LocalGroup local(ranks);
  std::vector<RankResult> results(static_cast<std::size_t>(ranks));
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < ranks; ++rank) {
    bodies.emplace_back([&, rank] {
      const auto all_reduce = make_all_reduce(local.group, rank);
      results[static_cast<std::size_t>(rank)] =
          train_rank(*all_reduce, kSummedModel, sgd(kRate), schedule, bucket_floats, 0, local.group.contribution(rank));
    });
  }
  run_threads(bodies, [&](const std::string& reason) { local.group.close(reason); });
  return results;
}

std::vector<RankResult> train_on_threads(int ranks, const Schedule& schedule) {
  ThreadsAllReduce group(ranks);
  std::vector<RankResult> results(static_cast<std::size_t>(ranks));
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < ranks; ++rank) {
    bodies.emplace_back([&, rank] {
      results[static_cast<std::size_t>(rank)] = train_rank(group.rank(rank), kSummedModel, sgd(kRate), schedule, 64);
    });
  }
  run_threads(bodies, [&](const std::string& reason) { group.close(reason); });
  return results;
}

TEST(SharedAllReduce, OneRankIsLocalTrainingToTheBit) {
  Recorder local;
  EXPECT_EQ(train(1, {12, 5})[0].state, train_direct(kSummedModel, sgd(kRate), {12, 5}, local));
}

TEST(SharedAllReduce, GivesTheBitsOfThreads) {
  for (const int ranks : {2, 3, 4, 7, 9}) {
    SCOPED_TRACE(ranks);
    const auto expected = train_on_threads(ranks, {20, 8});
    for (const auto& result : train(ranks, {20, 8})) EXPECT_EQ(result.state, expected[0].state);
  }
}

TEST(SharedAllReduce, BucketsChangeNothing) {
  const auto one = train(3, {5}, 1U << 20U);
  EXPECT_EQ(train(3, {5}, 1)[0].state, one[0].state);
  EXPECT_EQ(train(3, {5}, 100)[0].state, one[0].state);
}

TEST(SharedAllReduce, HasTheSizeOfTheFormula) {
  for (const int ranks : {1, 2, 12}) {
    const auto n = static_cast<std::size_t>(ranks);
    EXPECT_EQ((GroupLayout{ranks, 1000}.bytes()), 4096 + n * 4096 + (n + 1) * 4096);
    EXPECT_EQ((GroupLayout{ranks, 1025}.bytes()), 4096 + n * 4096 + (n + 1) * 8192);
  }
  EXPECT_THROW(static_cast<void>(GroupLayout{0, 16}.bytes()), InputError);
  EXPECT_THROW(static_cast<void>(GroupLayout{2, ~std::size_t{0} / 4}.bytes()), DeviceError);
}

TEST(SharedAllReduce, SumsInOrderOfTheRanks) {
  // 1e8 + 1 - 1e8 is 0 in float32, 1e8 - 1e8 + 1 is 1: only one order gives this.
  constexpr std::array<float, 3> kValues{1e8F, 1.0F, -1e8F};
  const LocalGroup local(3, 4096 * 3 + 16);
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < 3; ++rank) {
    bodies.emplace_back([&, rank] {
      const auto all_reduce = make_all_reduce(local.group, rank);
      const Span<float> mine = local.group.contribution(rank);
      for (float& value : mine.host()) value = kValues[static_cast<std::size_t>(rank)];
      all_reduce->start(mine.subspan(0, 16));
      all_reduce->progress();
      all_reduce->start(mine.subspan(16, mine.size() - 16));
      all_reduce->finish();
      const ConstSpan<float> sums = all_reduce->sums(mine);
      EXPECT_EQ(sums.data(), local.group.sums().data());
      for (const float value : sums.host()) ASSERT_EQ(value, 0.0F) << rank;
      EXPECT_EQ(all_reduce->sums(mine.subspan(16, 32)).data(), sums.data() + 16);
      EXPECT_EQ(mine.host()[0], kValues[static_cast<std::size_t>(rank)]) << "a contribution is only read";
      std::array<double, 2> numbers{static_cast<double>(rank), 0.5};
      all_reduce->sum(numbers);
      EXPECT_EQ(numbers, (std::array<double, 2>{3.0, 1.5}));
      EXPECT_EQ(all_reduce->gather(static_cast<std::uint64_t>(rank) + 7), (std::vector<std::uint64_t>{7, 8, 9}));
      std::vector<float> values(mine.size() * 2 + 5, static_cast<float>(rank) + 2);  // longer than a contribution
      all_reduce->broadcast(std::span(values));
      EXPECT_EQ(values, std::vector<float>(values.size(), 2.0F));
    });
  }
  run_threads(bodies, [&](const std::string& reason) { local.group.close(reason); });
}

// More sums than the ranks have places for, with and without progress in between.
TEST(SharedAllReduce, AnyNumberOfSumsMayBeStarted) {
  constexpr std::size_t kSums = 2 * shared::RankPage::kMostSums + 7;
  const LocalGroup local(3, kSums);
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < 3; ++rank) {
    bodies.emplace_back([&, rank] {
      const auto all_reduce = make_all_reduce(local.group, rank);
      const Span<float> mine = local.group.contribution(rank);
      for (const float round : {1.0F, 2.0F}) {
        for (std::size_t i = 0; i < kSums; ++i) mine.host()[i] = round * static_cast<float>(i) + static_cast<float>(rank);
        for (std::size_t i = 0; i < kSums; ++i) {
          all_reduce->start(mine.subspan(i, 1));
          if (rank == 1) all_reduce->progress();
        }
        all_reduce->finish();
        const auto sums = all_reduce->sums(mine).host();
        for (std::size_t i = 0; i < kSums; ++i) ASSERT_EQ(sums[i], 3 * round * static_cast<float>(i) + 3) << i;
        all_reduce->gather(0);
      }
    });
  }
  run_threads(bodies, [&](const std::string& reason) { local.group.close(reason); });
}

TEST(SharedAllReduce, OneRankSumsNothing) {
  const LocalGroup local(1, 64);
  const auto all_reduce = make_all_reduce(local.group, 0);
  const Span<float> mine = local.group.contribution(0);
  all_reduce->start(mine);
  all_reduce->finish();
  EXPECT_EQ(all_reduce->sums(mine).data(), mine.data());
}

TEST(SharedAllReduce, RefusesOtherMemoryAndOtherSums) {
  const LocalGroup local(2, 64);
  const auto first = make_all_reduce(local.group, 0), second = make_all_reduce(local.group, 1);
  std::vector<float> elsewhere(16);
  const std::span<float> view = elsewhere;
  EXPECT_TRUE(throws<ExchangeError>({"rank 0", "16 floats", "64"}, [&] { first->start(view); }));
  first->start(local.group.contribution(0).subspan(0, 32));
  second->start(local.group.contribution(1).subspan(16, 32));
  EXPECT_TRUE(throws<ExchangeError>({"sum 0", "0 to 32", "rank 0", "16 to 48", "rank 1"}, [&] { first->finish(); }));
  EXPECT_TRUE(throws<ExchangeError>({"9 numbers", "8"}, [&] {
    std::array<double, 9> numbers{};
    first->sum(numbers);
  }));
  EXPECT_THROW(make_all_reduce(local.group, 2), ExchangeError);
  local.group.close("the disk is full");
  EXPECT_TRUE(throws<ExchangeError>({"closed", "the disk is full"}, [&] { second->gather(1); }));
}

TEST(SharedAllReduce, ARankWhoseProcessEndsEndsTheOthers) {
  const LocalGroup local(2, 64);
  const Forked other(1, [](int) { std::this_thread::sleep_for(std::chrono::seconds(60)); });
  const ProcessWatch watch(other.processes());
  other.kill(0);
  const auto all_reduce = make_all_reduce(local.group, 0, &watch);
  EXPECT_TRUE(throws<ExchangeError>({"rank 0", "rank 1", "ended"}, [&] { all_reduce->gather(1); }));
}

}  // namespace
}  // namespace apam::exchange::test
