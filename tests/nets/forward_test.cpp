// Forward and backward of the nets: allocations and peak memory of a step, gradients from file to file.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "engine/ops/ops.h"
#include "kernels/runtime/philox.h"
#include "nets/gradient_check.h"
#include "nets/safetensors.h"
#include "nets/weight_file.h"
#include "tests/nets/files.h"

namespace apam::nets {
namespace {

using engine::Mode;
using engine::ParameterArena;
using engine::Tape;

constexpr std::size_t kImage = std::size_t{3} * 32 * 32;

/// `rows` images of Philox noise.
std::vector<float> noise(int rows) {
  const Random random(2, Purpose::sample);
  std::vector<float> pixels(static_cast<std::size_t>(rows) * kImage);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = random.normal(i);
  return pixels;
}

/// A net and everything needed to run it.
class NetRunner {
 public:
  NetRunner(std::string_view name, int classes, int rows, DType activations = DType::float32)
      : net(make_net(name, classes)),
        exec({.kernels = KernelSelection::parse("native"), .activations = activations}),
        arena(Device{}, net->layout()),
        tape(exec, arena),
        training(exec, arena, forward_of(*net), {rows, 32, 32, 3}, classes),
        rows_(rows),
        pixels_(noise(rows)),
        labels_(static_cast<std::size_t>(rows)) {
    arena.initialize(1);
  }

  engine::Var forward(Mode mode) {
    tape.begin(mode);
    return net->forward(engine::net_input(tape, {{rows_, 32, 32, 3}, std::span(pixels_)}));
  }
  double step() {
    training.load(std::span(pixels_), std::span(labels_), 1.0F / static_cast<float>(rows_));
    return training.score(training.compute_gradients()).loss_sum;
  }

  std::unique_ptr<Net> net;
  Exec exec;
  ParameterArena arena;
  Tape tape;  // of forward()
  engine::TrainingStep training;

 private:
  int rows_;
  std::vector<float> pixels_;
  std::vector<std::int32_t> labels_;
};

class EveryNetStep : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Nets, EveryNetStep, testing::Values("allcnn", "resnet18", "wrn28-5"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param.substr(0, test.param.find('-'));
                         });

TEST_P(EveryNetStep, allocates_no_buffer_after_the_first_step) {
  NetRunner runner(GetParam(), 10, 2);
  const double first = runner.step();
  EXPECT_TRUE(std::isfinite(first));
  const auto before = Buffer::allocations();
  EXPECT_EQ(runner.step(), first) << "same weights, same loss";
  EXPECT_EQ(Buffer::allocations(), before);
  EXPECT_EQ(runner.training.activations().bytes_in_use(), 0U);
}

TEST_P(EveryNetStep, computes_one_finite_logit_per_class) {
  NetRunner runner(GetParam(), 10, 2);
  for (const auto mode : {Mode::training, Mode::inference}) {
    const auto logits = runner.forward(mode);
    EXPECT_EQ(logits.shape()[0], 2);
    EXPECT_EQ(logits.shape().size(), 2U * 10U);
    for (const float logit : logits.floats().host()) EXPECT_TRUE(std::isfinite(logit));
  }
}

TEST_P(EveryNetStep, writes_batch_statistics_but_not_running_statistics) {
  NetRunner runner(GetParam(), 10, 2);
  const auto count = static_cast<int>(runner.net->layout().statistics().size());
  runner.forward(Mode::training);
  for (int i = 0; i < count; ++i) {
    for (const float variance : runner.arena.batch({i}).variance.host()) EXPECT_GT(variance, 0.0F) << i;
    for (const float variance : runner.arena.running({i}).variance.host()) EXPECT_EQ(variance, 1.0F) << i;
  }
}

TEST_P(EveryNetStep, in_bfloat16_approximates_float32_in_half_the_memory) {
  constexpr int kRows = 4;
  NetRunner exact(GetParam(), 10, kRows), rounded(GetParam(), 10, kRows, DType::bfloat16);
  const double loss = exact.step();
  EXPECT_NEAR(rounded.step(), loss, 0.02 * loss);
  const auto g = exact.arena.gradients().host(), h = rounded.arena.gradients().host();
  double product = 0, squares_g = 0, squares_h = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    product += double{g[i]} * h[i];
    squares_g += double{g[i]} * g[i];
    squares_h += double{h[i]} * h[i];
  }
  // ReLUs whose input is close to zero switch, so gradients of whole nets agree only roughly; tests per operation are sharp.
  EXPECT_GT(product / std::sqrt(squares_g * squares_h), 0.85);
  EXPECT_LT(static_cast<double>(rounded.training.activations().peak_bytes()),
            0.55 * static_cast<double>(exact.training.activations().peak_bytes()));
}

TEST(ResNet18, needs_less_than_half_of_pytorchs_memory) {
  // Activations grow linearly with the batch: 80 images need 20 times the memory of 4. PyTorch's process peaks at 1087 MiB.
  NetRunner runner("resnet18", 10, 4);
  runner.step();
  const double state = 2.0 * static_cast<double>(runner.arena.state().size_bytes());
  const double bytes = 20.0 * static_cast<double>(runner.training.activations().peak_bytes()) + state;
  EXPECT_LT(bytes / (1 << 20), 1087.0 / 2);
}

class GradientFilesTest : public testing::Test {
 protected:
  GradientFilesTest() {
    const ParameterArena arena(Device{}, net->layout(), ParameterArena::Contents::state);
    arena.initialize(1);
    save_weights(files.weights, arena, 0);
  }

  void write_batch(std::vector<std::int64_t> input_shape, std::string input_dtype, std::vector<std::int64_t> targets) const {
    std::size_t size = 1;
    for (const auto extent : input_shape) size *= static_cast<std::size_t>(extent);
    std::vector<float> pixels(size);
    for (std::size_t i = 0; i < size; ++i) pixels[i] = Random(2, Purpose::sample).normal(i);
    write_safetensors(
        files.batch,
        std::array{
            NamedTensor{"input", input_dtype, input_shape, std::as_bytes(std::span(pixels))},
            NamedTensor{"target", "I64", {static_cast<std::int64_t>(targets.size())}, std::as_bytes(std::span(targets))}});
  }
  /// Expects an error with these words and no output file.
  void expect_error(const std::vector<std::string_view>& words) {
    EXPECT_TRUE(throws<InputError>(words, [&] { compute_gradients(exec, *net, files); }));
    EXPECT_FALSE(std::filesystem::exists(files.out));
  }

  TemporaryFolder folder;
  GradientFiles files{folder.path() / "w", folder.path() / "b", folder.path() / "g"};
  std::unique_ptr<Net> net = make_net("allcnn", 10);
  Exec exec{{.kernels = KernelSelection::parse("native")}};
};

TEST_F(GradientFilesTest, contain_the_loss_and_one_gradient_per_parameter) {
  write_batch({2, 3, 32, 32}, "F32", {3, 9});
  const auto summary = compute_gradients(exec, *net, files);
  EXPECT_EQ(summary.rows, 2);
  EXPECT_NEAR(summary.loss, std::log(10.0), 0.5) << "initial logits are small: about the loss of a uniform guess";
  const auto gradients = Safetensors::read(files.out);
  ASSERT_EQ(gradients.tensors().size(), 28U);
  float loss = 0.0F;
  std::memcpy(&loss, gradients.find("loss")->bytes.data(), sizeof(loss));
  EXPECT_EQ(loss, static_cast<float>(summary.loss));
  const auto weights = Safetensors::read(files.weights);
  for (const auto& weight : weights.tensors()) {
    const NamedTensor* gradient = gradients.find(weight.name);
    ASSERT_NE(gradient, nullptr) << weight.name;
    EXPECT_EQ(gradient->shape, weight.shape) << weight.name;
  }
}

TEST_F(GradientFilesTest, reject_malformed_batches) {
  write_batch({2, 32, 32, 3}, "F32", {0, 1});
  const std::string path = files.batch.string();
  expect_error({"batch", path, "input", "(2, 32, 32, 3)", "(N, 3, 32, 32)"});
  write_batch({0, 3, 32, 32}, "F32", {});
  expect_error({path, "input", "(0, 3, 32, 32)", "(N, 3, 32, 32)"});
  write_batch({1, 3, 32, 32}, "I32", {0});
  expect_error({path, "input", "I32", "F32"});
  write_batch({2, 3, 32, 32}, "F32", {0, 1, 2});
  expect_error({path, "target", "(3)", "(2)"});
  write_batch({2, 3, 32, 32}, "F32", {0, 10});
  expect_error({path, "label", "10", "0 .. 9"});
  write_batch({1, 3, 32, 32}, "F32", {-1});
  expect_error({path, "label", "-1", "0 .. 9"});
  write_safetensors(files.batch, {});
  expect_error({path, "input", "missing", "F32"});
}

TEST_F(GradientFilesTest, reject_malformed_weights) {
  write_batch({1, 3, 32, 32}, "F32", {0});
  write_file(files.weights, "not a weight file");
  expect_error({"safetensors", files.weights.string()});
}

}  // namespace
}  // namespace apam::nets
