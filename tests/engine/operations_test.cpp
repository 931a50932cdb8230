// Operations on the tape: values, batch norm's statistics, shape errors. The arithmetic is tested with the kernels.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "engine/layers/layers.h"
#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Values = std::vector<float>;

/// Two channels over four rows: means 2 and 10, biased variances 5 and 0.25.
const Values kRowValues{-1, 9.5F, 1, 10.5F, 3, 9.5F, 5, 10.5F};

class OneBatchNorm : public testing::Test {
 protected:
  Var input(Model& model) { return model.tape.input(tensor_over({4, 1, 1, 2}, rows), true); }

  ParameterLayout layout;
  BatchNorm bn{layout, "bn", 2};
  BatchNorm untracked{layout, "untracked", 2, BatchNorm::Track::nothing};
  Values rows = kRowValues;
  std::array<std::int32_t, 4> labels{0, 1, 0, 1};
};

TEST_F(OneBatchNorm, writes_mean_and_unbiased_variance_to_the_batch_statistics) {
  Model model(layout);
  model.arena.initialize(1);
  model.tape.begin(Mode::training);
  bn(input(model));
  const auto batch = model.arena.batch({0});
  EXPECT_EQ(values_of(batch.mean), (Values{2.0F, 10.0F}));
  EXPECT_FLOAT_EQ(batch.variance.host()[0], 20.0F / 3);
  EXPECT_FLOAT_EQ(batch.variance.host()[1], 1.0F / 3);
  EXPECT_EQ(values_of(model.arena.running({0}).mean), (Values{0.0F, 0.0F})) << "updated only by update_running_statistics()";
}

TEST_F(OneBatchNorm, uses_batch_statistics_in_training) {
  Model model(layout);
  model.arena.initialize(1);
  model.tape.begin(Mode::training);
  const auto y = values_of(bn(input(model)).data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double mean = i % 2 == 0 ? 2 : 10;
    const double variance = i % 2 == 0 ? 5 : 0.25;
    EXPECT_NEAR(y[i], (kRowValues[i] - mean) / std::sqrt(variance + 1e-5), 1e-6) << i;  // a few eps for values below 2
  }
}

TEST_F(OneBatchNorm, uses_running_statistics_in_inference) {
  Model model(layout);
  model.arena.initialize(1);
  copy(ConstSpan<float>(Values{1, 2}.data(), 2), model.arena.running({0}).mean);
  copy(ConstSpan<float>(Values{4, 16}.data(), 2), model.arena.running({0}).variance);
  model.tape.begin(Mode::inference);
  const auto y = values_of(bn(input(model)).data());
  EXPECT_NEAR(y[0], -1.0, 1e-5);   // (-1 - 1) / 2; eps changes it by 1e-5 / 8
  EXPECT_NEAR(y[1], 1.875, 1e-5);  // (9.5 - 2) / 4
  EXPECT_NEAR(y[7], 2.125, 1e-5);
}

TEST_F(OneBatchNorm, without_running_statistics_uses_batch_statistics_in_both_modes) {
  Model model(layout);
  model.arena.initialize(1);
  model.tape.begin(Mode::training);
  const auto training = values_of(untracked(input(model)).data());
  model.tape.begin(Mode::inference);
  EXPECT_EQ(values_of(untracked(input(model)).data()), training);
}

TEST_F(OneBatchNorm, with_running_statistics_can_be_used_once_per_pass) {
  Model model(layout);
  model.tape.begin(Mode::training);
  const Var x = input(model);
  const Var y = bn(x);
  EXPECT_TRUE(throws<KernelError>({"batch_norm", "bn.weight", "2", "1"}, [&] { bn(y); }));
  EXPECT_TRUE(throws<KernelError>({"batch_norm", "residual", "(4, 1, 1, 2)"}, [&] { untracked.add_relu(x, x); }));
}

TEST(SoftmaxCrossEntropy, computes_loss_and_accuracy) {
  Model model;
  model.tape.begin(Mode::inference);
  Values logits{0, 0, 0, 0, 0, 0, 0, /**/ 3, 9, 8, 7, 6, 5, 4, /**/ 0, 0, 9, 0, 0, 0, 0};
  const std::array<std::int32_t, 3> labels{6, 0, 2};  // tied last, seventh, first
  const auto score = model.loss(model.tape.input(tensor_over({3, 7}, logits)), labels_over(labels), 1.0F);
  EXPECT_EQ(score.rows, 3);
  EXPECT_EQ(score.top1, 1);
  EXPECT_EQ(score.top5, 1);
  double second = 0;
  for (int i = 3; i <= 9; ++i) second += std::exp(i - 3.0);
  EXPECT_NEAR(score.loss_sum, std::log(7.0) + std::log(second) + std::log(1 + 6 * std::exp(-9.0)), 1e-5);
}

TEST(Convert, rounds_and_passes_the_gradient_back) {
  Model model;
  model.tape.begin(Mode::training);
  Values logits{1.0F + 0x1p-9F, 2.0F};  // the first is rounded to 1
  const Var x = model.tape.input(tensor_over({1, 2}, logits), true);
  const Var y = convert(x, DType::bfloat16);
  EXPECT_EQ(y.type(), DType::bfloat16);
  const std::array<std::int32_t, 1> labels{1};
  const auto score = model.loss(y, labels_over(labels), 1.0F);
  const double second = 1 / (1 + std::exp(-1.0));  // probability of the second class, from the rounded logits
  EXPECT_NEAR(score.loss_sum, -std::log(second), 1e-6);
  model.tape.backward();
  const Values gradient = values_of(model.tape.gradient(x));
  EXPECT_EQ(gradient[0], float{BFloat16(static_cast<float>(1 - second))});
  EXPECT_EQ(gradient[1], float{BFloat16(static_cast<float>(second - 1))});
}

TEST(Convert, returns_a_value_of_the_same_type_itself) {
  Model model;
  model.tape.begin(Mode::inference);
  Values values{1, 2};
  const Var x = model.tape.input(tensor_over({1, 2}, values));
  EXPECT_EQ(convert(x, DType::float32).data().bytes(), x.data().bytes());
}

TEST(Add, refuses_operands_of_different_types) {
  Model model;
  model.tape.begin(Mode::inference);
  Values values{1, 2};
  const Var x = model.tape.input(tensor_over({1, 2}, values));
  EXPECT_TRUE(throws<TypeError>({"add", "float32", "bfloat16"}, [&] { add(x, convert(x, DType::bfloat16)); }));
}

/// Every operation with operands of the wrong shape.
class ShapeErrors : public testing::Test {
 protected:
  ShapeErrors() { model.tape.begin(Mode::training); }

  Var input(const Shape& shape) { return model.tape.input(tensor_over(shape, memory.emplace_back(shape.size()))); }

  ParameterLayout layout;
  ParameterId filter = layout.add("filter", {8, 3, 3, 4}, {});  // (K, R, S, C)
  ParameterId matrix = layout.add("matrix", {5, 6}, {});        // (K, C)
  ParameterId bias = layout.add("bias", {5}, {});
  ParameterId short_bias = layout.add("short_bias", {4}, {});
  BatchNorm bn{layout, "bn", 4};
  Model model{layout};
  std::vector<Values> memory = [] {
    std::vector<Values> reserved;
    reserved.reserve(8);  // inputs point to its elements
    return reserved;
  }();
};

TEST_F(ShapeErrors, conv2d) {
  const auto run = [&](const Shape& x, ParameterId w, ConvolutionOptions options) { conv2d(input(x), w, options); };
  EXPECT_TRUE(throws<ShapeError>({"conv2d", "x", "(N, H, W, C)", "(2, 4)"}, [&] { run({2, 4}, filter, {}); }));
  EXPECT_TRUE(throws<ShapeError>({"conv2d", "w", "(K, R, S, C)", "(5, 6)"}, [&] { run({1, 4, 4, 4}, matrix, {}); }));
  EXPECT_TRUE(throws<ShapeError>({"conv2d", "3", "channels", "4"}, [&] { run({1, 4, 4, 3}, filter, {}); }));
  EXPECT_TRUE(throws<ShapeError>({"conv2d", "stride", "1", "0"}, [&] { run({1, 4, 4, 4}, filter, {.stride = 0}); }));
  EXPECT_TRUE(throws<ShapeError>({"conv2d", "padding", "-1"}, [&] { run({1, 4, 4, 4}, filter, {.padding = -1}); }));
  EXPECT_TRUE(throws<ShapeError>({"conv2d", "3x3", "2x4"}, [&] { run({1, 2, 4, 4}, filter, {}); }));
}

TEST_F(ShapeErrors, batch_norm) {
  const auto add_relu = [&](const Shape& x, const Shape& residual) { bn.add_relu(input(x), input(residual)); };
  EXPECT_TRUE(throws<ShapeError>({"batch_norm", "3", "channels", "4"}, [&] { bn(input({2, 3})); }));
  EXPECT_TRUE(throws<ShapeError>({"batch_norm", "residual", "(3, 4)", "(2, 4)"}, [&] { add_relu({2, 4}, {3, 4}); }));
  // Rejected before any element is read: the memory does not exist.
  const Shape huge{1 << 20, 1 << 6, 1 << 5, 4};
  Values one(1);
  const Tensor x(huge, Span<float>(one.data(), huge.size()));
  EXPECT_TRUE(throws<ShapeError>({"batch_norm", "(1048576, 64, 32, 4)", "2147483648", "rows", "2147483647"},
                                 [&] { bn(model.tape.input(x)); }));
}

TEST_F(ShapeErrors, add) {
  const Var a = input({2, 3}), b = input({3, 2});
  EXPECT_TRUE(throws<ShapeError>({"add", "a", "(2, 3)", "b", "(3, 2)"}, [&] { add(a, b); }));
}

TEST_F(ShapeErrors, avg_pool) {
  const auto run = [&](const Shape& x, int window) { avg_pool(input(x), window); };
  EXPECT_TRUE(throws<ShapeError>({"avg_pool", "x", "(N, H, W, C)", "(2, 4)"}, [&] { run({2, 4}, 2); }));
  EXPECT_TRUE(throws<ShapeError>({"avg_pool", "window", "4", "4x3"}, [&] { run({1, 4, 3, 2}, 4); }));
}

TEST_F(ShapeErrors, linear) {
  const auto run = [&](const Shape& x, ParameterId b) { linear(input(x), matrix, b); };
  EXPECT_TRUE(throws<ShapeError>({"linear", "7", "features", "6"}, [&] { run({2, 7}, bias); }));
  EXPECT_TRUE(throws<ShapeError>({"linear", "bias", "4", "5"}, [&] { run({2, 6}, short_bias); }));
}

TEST_F(ShapeErrors, softmax_cross_entropy) {
  const std::array<std::int32_t, 2> labels{0, 0};
  const auto run = [&](const Shape& logits) { model.loss(input(logits), labels_over(labels), 1.0F); };
  EXPECT_TRUE(throws<ShapeError>({"softmax_cross_entropy", "2", "labels", "3"}, [&] { run({3, 2}); }));
  EXPECT_TRUE(throws<ShapeError>({"softmax_cross_entropy", "(N, classes)", "(2, 2, 2, 5)"}, [&] { run({2, 2, 2, 5}); }));
}

}  // namespace
}  // namespace apam::engine
