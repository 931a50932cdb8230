// Trainings on a GPU from the first weights to a file, and parts of them: weights must be those of the same kernels on the CPU,
// bit for bit.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apam/exchange/local/direct.h"
#include "apam/training/checkpoint.h"
#include "apam/training/evaluator.h"
#include "apam/training/factories.h"
#include "apam/training/net_gradient_source.h"
#include "kernels/runtime/host_values.h"
#include "nets/weight_file.h"
#include "tests/kernels/cuda/guarded/guarded_gpu.h"
#include "tests/kernels/cuda/guarded/small_net.h"
#include "tests/support/temporary_folder.h"

namespace apam::training {
namespace {

using support::gpu_counts;
using support::GpuCounts;
using support::kRows;
using support::options_for;
using support::small_data;
using support::SmallNet;

/// The whole path of `apam train`: data, steps, master, evaluation after each epoch, divergence watch, weight file.
struct Trained {
  std::string weights, state;
  std::vector<double> losses;  // of the evaluations
  bool operator==(const Trained&) const = default;
};

/// A checkpoint of update 4 is written to this file, or a training continues with it.
struct Part {
  std::filesystem::path file;
  bool continues = false;
};

class Evaluations : public exchange::Observer {
 public:
  Evaluations(Evaluator& evaluator, const engine::Updater& updater, const Part& part)
      : evaluator_(evaluator), updater_(updater), part_(part) {}
  void on_update(const exchange::UpdateRecord&) override {}
  void on_snapshot(const exchange::StateSnapshot& snapshot) override {
    EXPECT_TRUE(evaluator_.submit(snapshot, Evaluator::Need::required));
  }
  void on_rest(const exchange::RestPoint& point) override {
    if (point.update != 4 || part_.file.empty() || part_.continues) return;
    const exchange::VersionRef newest = point.history->current();
    const HostValues state(newest.state()), moments(updater_.moments());
    Checkpoint{.update = 4, .batches = point.batches()}.write(part_.file, {1, state.all(), moments.all()});
  }

 private:
  Evaluator& evaluator_;
  const engine::Updater& updater_;
  Part part_;
};

enum class Evaluating : std::uint8_t { inline_, background };

Trained train(std::string_view device, DType activations, Evaluating how, const Part& part = {}) {
  const SmallNet net;
  const auto dataset = small_data();
  const ExecOptions options = options_for(device, activations);
  Exec exec(options);
  const engine::ParameterArena arena(exec.device(), net.layout());
  arena.initialize(7);
  engine::Updater updater(exec, arena, {.learning_rate = 0.01});
  const auto batches = std::make_shared<const data::Batches>(dataset, data::BatchOptions{.batch = kRows});
  NetGradientSource source(exec, net, arena, batches, {.threads = 0});
  std::unique_ptr<Evaluator> evaluator;
  const auto test = evaluation_batches(dataset, "test", 4);
  if (how == Evaluating::inline_) {
    evaluator = std::make_unique<InlineEvaluator>(exec, net, test, [] { return false; });
  } else {
    evaluator = std::make_unique<BackgroundEvaluator>(BackgroundEvaluator::Options{.exec = options}, net, test);
  }
  Evaluations observer(*evaluator, updater, part);
  exchange::WeightHistory history(arena.state(), exchange::in_place(net.layout()));
  exchange::MasterOptions master_options{.schedule = {.total_updates = 9, .snapshot_every = 3}};
  if (part.continues) {
    const Checkpoint saved = Checkpoint::read(part.file);
    saved.restore(arena);
    saved.restore(updater);
    saved.restore(history);
    master_options.done = saved.batches;
  } else {
    history.publish_first(arena.state());
  }
  exchange::MasterState master(updater, history, master_options);
  exchange::NullControl control;
  exchange::train_directly(master, source, control, observer);
  evaluator->finish();

  Trained result;
  for (const Evaluation& evaluation : evaluator->collect()) result.losses.push_back(evaluation.scores.loss);
  EXPECT_EQ(result.losses.size(), part.continues ? 2U : 3U);
  EXPECT_EQ(engine::non_finite_tensor(exec, net.layout(), arena.state()), std::nullopt);

  // A file of the weights, read into another arena of the device.
  const support::TemporaryFolder folder;
  nets::save_weights(folder.path() / "weights.safetensors", arena, 9);
  const engine::ParameterArena loaded(exec.device(), net.layout(), engine::ParameterArena::Contents::state);
  nets::load_weights(folder.path() / "weights.safetensors", loaded);
  result.weights = nets::sha256_of(arena).weights;
  result.state = nets::sha256_of(loaded).state;
  EXPECT_EQ(nets::sha256_of(loaded).weights, result.weights);
  return result;
}

class TrainingOnGpu : public testing::TestWithParam<DType> {};

TEST_P(TrainingOnGpu, GivesTheBitsOfTheSameKernelsOnTheCpu) {
  const GpuCounts before = gpu_counts();
  const Trained on_gpu = train("cuda", GetParam(), Evaluating::inline_);
  EXPECT_GT(gpu_counts().kernels, before.kernels);
  EXPECT_GT(gpu_counts().replays, before.replays);
  EXPECT_EQ(on_gpu, train("cpu", GetParam(), Evaluating::inline_));
}

TEST_P(TrainingOnGpu, ContinuesWithTheSameBits) {
  const support::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / Checkpoint::kFile;
  const Trained whole = train("cuda", GetParam(), Evaluating::inline_, {file});
  const Trained rest = train("cuda", GetParam(), Evaluating::inline_, {file, true});
  EXPECT_EQ(rest.weights, whole.weights);
  EXPECT_EQ(rest.state, whole.state);
  EXPECT_EQ(rest.losses, std::vector<double>(whole.losses.begin() + 1, whole.losses.end()));
}

TEST_P(TrainingOnGpu, EvaluatesInTheBackground) {
  EXPECT_EQ(train("cuda", GetParam(), Evaluating::background), train("cuda", GetParam(), Evaluating::inline_));
}

INSTANTIATE_TEST_SUITE_P(Types, TrainingOnGpu, testing::Values(DType::float32, DType::bfloat16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

}  // namespace
}  // namespace apam::training
