// Steps and plans of trainings on a GPU, on the guarded one: any access of host code to memory of the device crashes, and any
// read of a result that is not waited for gives an old value.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "apam/training/factories.h"
#include "apam/training/net_gradient_source.h"
#include "apam/training/run_plan.h"
#include "apam/training/usage_error.h"
#include "tests/kernels/cuda/guarded/guarded_gpu.h"
#include "tests/kernels/cuda/guarded/small_net.h"
#include "tests/support/throws.h"

namespace apam::training {
namespace {

using support::gpu_counts;
using support::GpuCounts;
using support::kClasses;
using support::kRows;
using support::kSide;
using support::options_for;
using support::small_data;
using support::SmallNet;

/// Steps without a data set or a master.
class StepsOnGpu : public testing::Test {
 protected:
  static ConstSpan<float> images(int rows) {
    static const std::vector<float> values(std::size_t{kRows} * kSide * kSide * 3, 0.25F);
    return ConstSpan<float>(values.data(), static_cast<std::size_t>(rows) * kSide * kSide * 3);
  }
  static Labels labels(int rows) {
    static const std::vector<std::int32_t> values(kRows, 1);
    return {values.data(), static_cast<std::size_t>(rows)};
  }
  engine::PendingScore run(int rows) { return step.run(images(rows), labels(rows), updater); }

  SmallNet net;
  Exec exec{options_for("cuda", DType::float32)};
  engine::ParameterArena arena{exec.device(), net.layout()};
  engine::Updater updater{exec, arena, {}};
  engine::TrainingStep step{exec, arena, nets::forward_of(net), {kRows, kSide, kSide, 3}, kClasses};
};

TEST_F(StepsOnGpu, NeitherWaitNorAllocateAfterTheFirstTwo) {
  for (const int rows : {kRows, 2}) {
    for (int i = 0; i < 2; ++i) run(rows);
  }
  exec.freeze();
  const GpuCounts before = gpu_counts();
  const std::uint64_t allocations = Buffer::allocations();
  engine::PendingScore last;
  for (const int rows : {kRows, 2, kRows, 2, kRows}) last = run(rows);
  EXPECT_EQ(gpu_counts().waits, before.waits);
  EXPECT_EQ(gpu_counts().replays, before.replays + 5);
  EXPECT_EQ(gpu_counts().kernels, before.kernels) << "nothing has run yet";
  EXPECT_EQ(Buffer::allocations(), allocations);
  EXPECT_TRUE(std::isfinite(step.score(last).mean_loss()));
  EXPECT_GT(gpu_counts().kernels, before.kernels);
}

TEST_F(StepsOnGpu, AugmentResidentImagesWithoutWaiting) {
  const auto dataset = small_data();
  const data::Batches batches(dataset, {.batch = kRows});
  const auto resident = resident_images(exec, batches);
  engine::TrainingStep selecting(exec, arena, nets::forward_of(net), {kRows, kSide, kSide, 3}, kClasses, &resident);
  const std::vector<std::int32_t> chosen{3, 0, 9, 9, 4};
  const auto select = [&] {
    selecting.select(chosen, 2, 0.2F);
    return selecting.compute_gradients();
  };
  for (int i = 0; i < 2; ++i) select();
  exec.freeze();
  const GpuCounts before = gpu_counts();
  const auto pending = select();
  EXPECT_EQ(gpu_counts().waits, before.waits);
  EXPECT_EQ(gpu_counts().replays, before.replays + 1);
  EXPECT_TRUE(std::isfinite(selecting.score(pending).mean_loss()));
}

TEST_F(StepsOnGpu, ComputeOnResidentImagesWhatTheLoaderPrepares) {
  const data::Batches batches(small_data(), {.batch = kRows, .augmentation = data::kStandardAugmentation, .seed = 5});
  const auto resident = resident_images(exec, batches);
  const engine::Shape shape{kRows, kSide, kSide, 3};
  engine::TrainingStep selecting(exec, arena, nets::forward_of(net), shape, kClasses, &resident);
  engine::TrainingStep loading(exec, arena, nets::forward_of(net), shape, kClasses);
  data::Batch batch({kSide, kSide, 3}, kRows);
  const auto contribution = [&] {
    std::vector<float> values(arena.outgoing().size());
    copy(exec, arena.outgoing(), Span<float>(std::span(values)));
    exec.synchronize();
    return values;
  };
  for (std::int64_t number = 0; number < 3 * batches.per_epoch(); number += 2) {  // in three epochs
    const data::Request request = batches.whole(number);
    batches.prepare(request, batch);
    loading.load(batch.images(), batch.labels(), 0.2F);
    const auto loaded = loading.score(loading.compute_gradients());
    const std::vector<float> expected = contribution();
    const auto indices = batches.indices(request);
    selecting.select(std::vector<std::int32_t>(indices.begin(), indices.end()), batches.epoch(number), 0.2F);
    const auto selected = selecting.score(selecting.compute_gradients());
    EXPECT_EQ(selected.loss_sum, loaded.loss_sum) << "batch " << number;
    EXPECT_EQ(selected.top1, loaded.top1) << "batch " << number;
    EXPECT_EQ(contribution(), expected) << "batch " << number;
  }
}

TEST_F(StepsOnGpu, FindANanInTheWeightsAnUpdateLateWithoutWaiting) {
  for (int i = 0; i < 3; ++i) run(kRows);
  exec.synchronize();
  EXPECT_FALSE(updater.non_finite(engine::Updater::Examine::all).has_value());
  const std::vector<float> nan{std::numeric_limits<float>::quiet_NaN()};
  const std::size_t offset = net.layout().parameters().back().offset;
  run(kRows);
  copy(exec, ConstSpan<float>(std::span(nan)), arena.gradients().subspan(offset, 1));
  const GpuCounts before = gpu_counts();
  updater.apply(arena.outgoing());
  updater.apply(arena.outgoing());
  EXPECT_EQ(gpu_counts().waits, before.waits);
  const auto found = updater.non_finite();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->update, 5);
  EXPECT_EQ(found->tensor, net.layout().parameters().back().name);
}

TEST_F(StepsOnGpu, KnowTheLatestUpdateIfTheHostWaits) {
  run(kRows);
  const std::vector<float> nan{std::numeric_limits<float>::quiet_NaN()};
  copy(exec, ConstSpan<float>(std::span(nan)), arena.batch_statistics().subspan(0, 1));
  updater.apply(arena.outgoing());
  EXPECT_FALSE(updater.non_finite().has_value());
  const auto found = updater.non_finite(engine::Updater::Examine::all);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->update, 2);
  EXPECT_EQ(found->tensor, "bn1.running_mean");
}

/// Kernels that a step gives to the device.
std::int64_t kernels_of(Exec& exec, const std::function<void()>& step) {
  exec.synchronize();
  const std::int64_t before = gpu_counts().kernels;
  step();
  exec.synchronize();
  return gpu_counts().kernels - before;
}

TEST(RoundedWeightsOnGpu, AreWrittenByTheUpdateAndRoundedOnlyIfWeightsWereReplaced) {
  const SmallNet net;
  Exec exec(options_for("cuda", DType::bfloat16));
  const engine::ParameterArena arena(exec.device(), net.layout());
  engine::Updater updater(exec, arena, {});
  engine::TrainingStep step(exec, arena, nets::forward_of(net), {kRows, kSide, kSide, 3}, kClasses);
  const std::vector<float> images(std::size_t{kRows} * kSide * kSide * 3, 0.25F);
  const std::vector<std::int32_t> labels(kRows, 1);
  const auto run = [&] { step.run(ConstSpan<float>(std::span(images)), Labels(std::span(labels)), updater); };
  for (int i = 0; i < 3; ++i) run();
  const std::int64_t in_step = kernels_of(exec, run);
  arena.initialize(3);
  EXPECT_EQ(kernels_of(exec, run), in_step + 1);
  EXPECT_EQ(kernels_of(exec, run), in_step);
  step.load(ConstSpan<float>(std::span(images)), Labels(std::span(labels)), 1);
  EXPECT_EQ(kernels_of(exec, [&] { step.compute_gradients(); }), in_step - 2);  // those of the update
  EXPECT_EQ(kernels_of(exec, [&] { step.compute_gradients(); }), in_step - 1);  // no update since the last step
}

TEST(RoundedWeightsOnGpu, AreNotCurrentIfTheyWereAllocatedAfterTheUpdate) {
  const SmallNet net;
  Exec exec(options_for("cuda", DType::bfloat16));
  const engine::ParameterArena arena(exec.device(), net.layout());
  engine::Updater updater(exec, arena, {});
  updater.apply(arena.outgoing());
  engine::TrainingStep step(exec, arena, nets::forward_of(net), {kRows, kSide, kSide, 3}, kClasses);
  const std::vector<float> images(std::size_t{kRows} * kSide * kSide * 3, 0.25F);
  const std::vector<std::int32_t> labels(kRows, 1);
  const auto compute = [&] {
    step.load(ConstSpan<float>(std::span(images)), Labels(std::span(labels)), 1);
    step.compute_gradients();
  };
  const std::int64_t first = kernels_of(exec, compute);
  EXPECT_EQ(kernels_of(exec, compute), first) << "both round the weights";
}

TEST_F(StepsOnGpu, AreRecordedAgainWhenScratchMemoryMoves) {
  for (int i = 0; i < 3; ++i) run(kRows);
  const double expected = step.score(run(kRows)).mean_loss();
  exec.reserve_workspace(exec.workspace_bytes() + 4096);
  EXPECT_LT(step.score(run(kRows)).mean_loss(), expected);
  const std::int64_t replays = gpu_counts().replays;
  run(kRows);
  EXPECT_EQ(gpu_counts().replays, replays + 1);
}

TEST_F(StepsOnGpu, AreNotReplayedWhileGradientsAreReported) {
  for (int i = 0; i < 3; ++i) run(kRows);
  std::size_t reported = 0;
  step.on_gradient_ready([&](engine::ParameterId) { ++reported; });
  run(kRows);
  EXPECT_EQ(reported, net.layout().parameters().size());
  step.on_gradient_ready({});
  run(kRows);
  EXPECT_EQ(reported, net.layout().parameters().size());
  exec.synchronize();
}

/// The most nodes of the graph of forward and backward: what the kernels take today, so that no change adds some unnoticed. The
/// update takes two more kernels. ResNet18's step must not have more than 150.
struct Limit {
  const char* net;
  DType activations;
  std::size_t nodes;
};
void PrintTo(const Limit& limit, std::ostream* out) { *out << limit.net << ' ' << to_string(limit.activations); }

class NodesOfAStep : public testing::TestWithParam<Limit> {};

TEST_P(NodesOfAStep, AreFew) {
  const Limit limit = GetParam();
  const support::WithoutKernels counted;
  const auto net = nets::make_net(limit.net, 10);
  Exec exec(options_for("cuda", limit.activations));
  const engine::ParameterArena arena(exec.device(), net->layout());
  engine::TrainingStep step(exec, arena, nets::forward_of(*net), {2, 32, 32, 3}, 10);
  step.warm_up(2);
  step.warm_up(2);
  ASSERT_TRUE(step.graphs().nodes(2).has_value());
  RecordProperty("nodes", static_cast<int>(*step.graphs().nodes(2)));
  EXPECT_LE(*step.graphs().nodes(2), limit.nodes);
}

INSTANTIATE_TEST_SUITE_P(Nets, NodesOfAStep,
                         testing::Values(Limit{"resnet18", DType::float32, 146}, Limit{"resnet18", DType::bfloat16, 147},
                                         Limit{"allcnn", DType::bfloat16, 69}, Limit{"wrn28-5", DType::bfloat16, 203}));

TEST(PlansOnGpu, GiveTheGpusOfAHostToItsRanksInTurn) {
  TrainOptions options;
  options.exchange = "async";
  options.data.name = "synthetic";
  const auto device = [&](std::string_view text, int rank_on_host) {
    options.machine.device = text;
    ThreadBudget budget{.ranks = 5, .roles = {.workers = 4}, .threads_by_rank = std::vector(5, 1)};
    budget.rank_on_host = rank_on_host;
    return to_string(make_run_plan(options, budget).exec.device);
  };
  EXPECT_EQ(device("cuda", 0), "cuda:0");
  EXPECT_EQ(device("cuda", 1), "cuda:1");
  EXPECT_EQ(device("cuda", 4), "cuda:0");
  EXPECT_EQ(device("cuda:1", 4), "cuda:1");
  EXPECT_EQ(device("cpu", 1), "cpu");
}

// A recorded step writes one contribution, whose address it has.
TEST(PlansOnGpu, RefuseWorkersThatComputeAhead) {
  TrainOptions options;
  options.exchange = "async";
  options.transport = "mpi";
  options.prefetch_weights = true;
  options.machine.device = "cuda";
  EXPECT_TRUE(support::throws<UsageError>({"--prefetch-weights", "--device cpu", "cuda"}, [&] {
    make_run_plan(options, {.ranks = 2, .roles = {}, .threads_by_rank = {1, 1}});
  }));
}

TEST(PlansOnGpu, RefuseSeveralMasters) {
  TrainOptions options;
  options.exchange = "async";
  options.masters = 2;
  options.machine.device = "cuda";
  EXPECT_TRUE(support::throws<UsageError>({"--masters 2", "--device cpu", "cuda"}, [&] {
    make_run_plan(options, {.ranks = 3, .roles = {.masters = 2}, .threads_by_rank = {1, 1, 1}});
  }));
}

TEST(PlansOnGpu, RefuseMastersInTheRanksOfWorkers) {
  TrainOptions options;
  options.exchange = "async";
  options.colocate = true;
  options.machine.device = "cuda";
  EXPECT_TRUE(support::throws<UsageError>({"--colocate", "--device cpu", "cuda"},
                                          [&] { make_run_plan(options, {.ranks = 1, .roles = {.colocated = true}}); }));
}

}  // namespace
}  // namespace apam::training
