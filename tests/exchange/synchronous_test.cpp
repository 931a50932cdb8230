// Synchronous training over threads: N ranks with one share each equal one process with the whole batch.
#include "apam/exchange/synchronous.h"

#include <gtest/gtest.h>

#include <functional>

#include "apam/exchange/error.h"
#include "apam/exchange/local/all_reduce.h"
#include "apam/exchange/local/run_threads.h"
#include "tests/exchange/synchronous_cases.h"
#include "tests/support/few_threads.h"

namespace apam::exchange::test {
namespace {

const QuadraticOptions kPlainModel{.sizes = {33, 5, 70, 16}, .rows = 7, .spread = 1.5F};

std::vector<RankResult> train(int ranks, const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                              const Schedule& schedule, std::size_t bucket_floats = 64, int bent_rank = -1) {
  ThreadsAllReduce group(ranks);
  std::vector<RankResult> results(static_cast<std::size_t>(ranks));
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < ranks; ++rank) {
    bodies.emplace_back([&, rank] {
      results[static_cast<std::size_t>(rank)] =
          train_rank(group.rank(rank), quadratic, options, schedule, bucket_floats, rank == bent_rank ? 0.5F : 0.0F);
    });
  }
  run_threads(bodies, [&](const std::string& reason) { group.close(reason); });
  return results;
}

TEST(Synchronous, OneRankIsLocalTrainingToTheBit) {
  QuadraticOptions quadratic = kPlainModel;
  quadratic.channels = 3;
  Recorder local;
  const auto expected = train_direct(quadratic, amsgrad(0.01), {12, 5}, local);
  const auto result = train(1, quadratic, amsgrad(0.01), {12, 5});
  EXPECT_EQ(result[0].state, expected);
  EXPECT_EQ(result[0].recorder.states, local.states);
}

// 7 rows over 2, 3 and 4 ranks leave a remainder; of 9 ranks two have no rows at all.
TEST(Synchronous, RanksTogetherAreLocalTraining) {
  for (const int ranks : {2, 3, 4, 7, 9}) {
    SCOPED_TRACE(ranks);
    const auto results = train(ranks, kPlainModel, sgd(kRate), {20, 8});
    for (const auto& result : results) {
      EXPECT_EQ(result.state, results[0].state) << "replicas are equal to the bit";
      expect_like_local(result, kPlainModel, kRate, {20, 8}, ranks);
    }
  }
}

TEST(Synchronous, BucketsChangeNothing) {
  const auto one = train(3, kPlainModel, sgd(kRate), {5}, 1U << 20U);
  EXPECT_EQ(train(3, kPlainModel, sgd(kRate), {5}, 1)[0].state, one[0].state);
  EXPECT_EQ(train(3, kPlainModel, sgd(kRate), {5}, 100)[0].state, one[0].state);
}

// Also for gradients that finish in another order than the buckets, or are never announced.
TEST(Synchronous, TheOrderOfGradientsChangesNothing) {
  const auto usual = train(2, kPlainModel, sgd(kRate), {5});
  QuadraticOptions quadratic = kPlainModel;
  quadratic.first = 1;
  EXPECT_EQ(train(2, quadratic, sgd(kRate), {5})[0].state, usual[0].state);
  quadratic.announces = false;
  EXPECT_EQ(train(2, quadratic, sgd(kRate), {5})[0].state, usual[0].state);
}

// Statistics of the ranks, weighted by their rows: 7 rows over 3 ranks are 2, 2 and 3.
TEST(Synchronous, StatisticsAreWeightedByRows) {
  QuadraticOptions quadratic = kPlainModel;
  quadratic.channels = 2;
  const auto results = train(3, quadratic, sgd(kRate), {1});
  QuadraticSource source(quadratic);
  std::vector<double> mean(2, 0.0), variance(2, 0.0);
  for (int part = 0; part < 3; ++part) {
    const GradientHeader header = source.compute({0, part, 3});
    EXPECT_EQ(header.rows, part == 2 ? 3 : 2);
    const auto moments = source.arena().batch(engine::StatisticsId{0});
    for (std::size_t c = 0; c < 2; ++c) {
      mean[c] += header.rows * static_cast<double>(moments.mean.host()[c]) / 7;
      variance[c] += header.rows * static_cast<double>(moments.variance.host()[c]) / 7;
    }
  }
  const auto& layout = source.arena().layout();
  const auto& place = layout.statistics()[0];
  const float* running = results[0].state.data() + layout.weights_size();
  for (std::size_t c = 0; c < 2; ++c) {  // values below 4, about ten roundings
    EXPECT_NEAR(running[place.mean_offset + c], 0.1 * mean[c], 10 * 4 * 0x1p-24);
    EXPECT_NEAR(running[place.variance_offset + c], 0.9 + 0.1 * variance[c], 10 * 4 * 0x1p-24);
  }
}

TEST(Synchronous, ABrokenReplicaIsFound) {
  try {
    train(3, kPlainModel, sgd(kRate), {20, 5}, 64, 1);
    FAIL() << "nothing was thrown";
  } catch (const ExchangeError& error) {
    EXPECT_NE(std::string(error.what()).find("after update 5 the model of rank 1 has checksum"), std::string::npos)
        << error.what();
  }
}

TEST(Synchronous, NeedsOneArenaAndAnUpdate) {
  ThreadsAllReduce group(1);
  QuadraticSource source(kPlainModel);
  Model elsewhere(kPlainModel, sgd(kRate));
  Recorder recorder;
  EXPECT_THROW(SynchronousTrainer(group.rank(0), elsewhere.updater, source, {1}, recorder), InputError);
  Exec exec = plain_exec();
  engine::Updater updater(exec, source.arena(), sgd(kRate));
  EXPECT_THROW(SynchronousTrainer(group.rank(0), updater, source, {0}, recorder), InputError);
}

TEST(ThreadsAllReduce, DifferentSizesAreAnError) {
  ThreadsAllReduce group(2);
  std::vector<float> three(3), four(4);
  const std::vector<std::function<void()>> bodies{
      [&] { group.rank(0).start(std::span<float>(three)), group.rank(0).finish(); },
      [&] { group.rank(1).start(std::span<float>(four)), group.rank(1).finish(); },
  };
  EXPECT_THROW(run_threads(bodies, [&](const std::string& reason) { group.close(reason); }), ExchangeError);
}

TEST(RunThreads, AThreadThatCannotStartEndsAll) {
  constexpr int kRanks = 8;
  ThreadsAllReduce group(kRanks);
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < kRanks; ++rank) bodies.emplace_back([&group, rank] { group.rank(rank).gather(1); });
  const support::FewThreads few(3);
  EXPECT_THROW(run_threads(bodies, [&](const std::string& reason) { group.close(reason); }), DeviceError);
}

TEST(ThreadsAllReduce, SumsGathersAndBroadcasts) {
  ThreadsAllReduce group(3);
  std::vector<std::vector<float>> spans{{1, 2, 3, 4}, {10, 20, 30, 40}, {100, 200, 300, 400}};
  std::vector<std::vector<float>> models{{5, 6}, {7, 8}, {9, 10}};
  std::vector<std::vector<std::uint64_t>> gathered(3);
  std::vector<std::vector<double>> sums{{1, 2}, {3, 4}, {5, 6}};
  std::vector<std::function<void()>> bodies;
  for (int rank = 0; rank < 3; ++rank) {
    bodies.emplace_back([&, rank] {
      const auto index = static_cast<std::size_t>(rank);
      AllReduce& end = group.rank(rank);
      end.start(std::span<float>(spans[index]).subspan(2));
      end.start(std::span<float>(spans[index]).first(2));
      end.sum(sums[index]);
      end.finish();
      gathered[index] = end.gather(static_cast<std::uint64_t>(rank) + 40);
      end.broadcast(std::span<float>(models[index]));
    });
  }
  run_threads(bodies, [&](const std::string& reason) { group.close(reason); });
  for (std::size_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(spans[rank], (std::vector<float>{111, 222, 333, 444}));
    EXPECT_EQ(sums[rank], (std::vector<double>{9, 12}));
    EXPECT_EQ(gathered[rank], (std::vector<std::uint64_t>{40, 41, 42}));
    EXPECT_EQ(models[rank], (std::vector<float>{5, 6}));
  }
}

}  // namespace
}  // namespace apam::exchange::test
