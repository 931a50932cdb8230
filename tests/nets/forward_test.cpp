// The nets at work: what a step allocates and holds, and gradients from file to file.
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

/// `rows` images of Philox noise, or of anything else that a test draws.
std::vector<float> noise(int rows) {
  const Random random(2, Purpose::sample);
  std::vector<float> pixels(static_cast<std::size_t>(rows) * kImage);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = random.normal(i);
  return pixels;
}

/// A net with everything that runs it.
class Running {
 public:
  Running(std::string_view name, int classes, int rows)
      : net(make_net(name, classes)),
        exec({.kernels = KernelSelection::parse("native")}),
        arena(Device{}, net->layout()),
        tape(exec, arena),
        rows_(rows),
        pixels_(noise(rows)),
        labels_(static_cast<std::size_t>(rows)) {
    arena.initialize(1);
  }

  engine::Var forward(Mode mode) {
    tape.begin(mode);
    return net->forward(tape.input({{rows_, 32, 32, 3}, Out(pixels_.data(), pixels_.size())}));
  }
  double step() {
    const auto score =
        softmax_cross_entropy(forward(Mode::training), Labels(std::span(labels_)), 1.0F / static_cast<float>(rows_));
    tape.backward();
    return score.loss_sum;
  }

  std::unique_ptr<Net> net;
  Exec exec;
  ParameterArena arena;
  Tape tape;

 private:
  int rows_;
  std::vector<float> pixels_;
  std::vector<std::int32_t> labels_;
};

class EveryNetAtWork : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Nets, EveryNetAtWork, testing::Values("allcnn", "resnet18", "wrn28-5"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param.substr(0, test.param.find('-'));
                         });

TEST_P(EveryNetAtWork, allocates_no_buffer_after_the_first_step) {
  Running running(GetParam(), 10, 2);
  const double first = running.step();
  EXPECT_TRUE(std::isfinite(first));
  const auto before = Buffer::allocations();
  EXPECT_EQ(running.step(), first) << "nothing moved the weights";
  EXPECT_EQ(Buffer::allocations(), before);
  EXPECT_EQ(running.tape.arena().bytes_in_use(), 0U);
}

TEST_P(EveryNetAtWork, makes_one_finite_logit_a_class) {
  constexpr int kClasses = 10;
  Running running(GetParam(), kClasses, 2);
  for (const auto mode : {Mode::training, Mode::inference}) {
    const auto logits = running.forward(mode);
    EXPECT_EQ(logits.shape()[0], 2);
    EXPECT_EQ(logits.shape().size(), 2U * kClasses);
    for (const float logit : logits.data().host()) EXPECT_TRUE(std::isfinite(logit));
  }
}

TEST_P(EveryNetAtWork, writes_statistics_of_the_batch_and_leaves_the_running_ones_alone) {
  Running running(GetParam(), 10, 2);
  const auto count = static_cast<int>(running.net->layout().statistics().size());
  running.forward(Mode::training);
  for (int i = 0; i < count; ++i) {
    for (const float variance : running.arena.batch({i}).variance.host()) EXPECT_GT(variance, 0.0F) << i;
    for (const float variance : running.arena.running({i}).variance.host()) EXPECT_EQ(variance, 1.0F) << i;
  }
}

TEST(ResNet18AtWork, holds_less_than_half_of_pytorchs_memory) {
  // What a step holds grows with the batch alone: 80 images hold 20 times what 4 do. PyTorch's process peaks at 1087 MiB.
  Running running("resnet18", 10, 4);
  running.step();
  const double state = 2.0 * static_cast<double>(running.arena.state().size_bytes());
  const double bytes = 20.0 * static_cast<double>(running.tape.arena().peak_bytes()) + state;
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
  std::string error() {
    const auto message = error_of([&] { compute_gradients(exec, *net, files); });
    EXPECT_FALSE(std::filesystem::exists(files.out));
    const auto prefix = fmt::format("batch: {}: ", files.batch.string());
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  }

  TemporaryFolder folder;
  GradientFiles files{folder.path() / "w", folder.path() / "b", folder.path() / "g"};
  std::unique_ptr<Net> net = make_net("allcnn", 10);
  Exec exec{{.kernels = KernelSelection::parse("native")}};
};

TEST_F(GradientFilesTest, have_the_loss_and_one_gradient_a_parameter) {
  write_batch({2, 3, 32, 32}, "F32", {3, 9});
  const auto summary = compute_gradients(exec, *net, files);
  EXPECT_EQ(summary.rows, 2);
  EXPECT_NEAR(summary.loss, std::log(10.0), 0.5) << "small logits: near the loss of a guess";
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

TEST_F(GradientFilesTest, refuse_batches_of_another_form) {
  write_batch({2, 32, 32, 3}, "F32", {0, 1});
  EXPECT_EQ(error(), "input has shape (2, 32, 32, 3), expected (N, 3, 32, 32) with N from 1 on");
  write_batch({0, 3, 32, 32}, "F32", {});
  EXPECT_EQ(error(), "input has shape (0, 3, 32, 32), expected (N, 3, 32, 32) with N from 1 on");
  write_batch({1, 3, 32, 32}, "I32", {0});
  EXPECT_EQ(error(), "tensor \"input\" has I32, expected F32");
  write_batch({2, 3, 32, 32}, "F32", {0, 1, 2});
  EXPECT_EQ(error(), "target has shape (3), expected (2)");
  write_batch({2, 3, 32, 32}, "F32", {0, 10});
  EXPECT_EQ(error(), "label 10 is not in 0 .. 9");
  write_batch({1, 3, 32, 32}, "F32", {-1});
  EXPECT_EQ(error(), "label -1 is not in 0 .. 9");
  write_safetensors(files.batch, {});
  EXPECT_EQ(error(), "tensor \"input\" is missing, expected F32");
}

TEST_F(GradientFilesTest, refuse_weights_of_another_net) {
  write_batch({1, 3, 32, 32}, "F32", {0});
  write_file(files.weights, "not a weight file");
  EXPECT_TRUE(error().starts_with("safetensors: " + files.weights.string()));
}

}  // namespace
}  // namespace apam::nets
