// The operations as the engine wires them: values, the statistics of batch norm, and the errors of shapes that do not fit.
// Their arithmetic is tested against naive loops with the kernels.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "engine/layers/layers.h"
#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Values = std::vector<float>;

/// Two channels over four rows: means 2 and 10, biased variances 5 and 0.25.
const Values kRows{-1, 9.5F, 1, 10.5F, 3, 9.5F, 5, 10.5F};

class OneBatchNorm : public testing::Test {
 protected:
  Var input(Model& model) { return model.tape.input(tensor_over({4, 1, 1, 2}, rows), true); }

  ParameterLayout layout;
  BatchNorm bn{layout, "bn", 2};
  BatchNorm untracked{layout, "untracked", 2, BatchNorm::Track::nothing};
  Values rows = kRows;
  std::array<std::int32_t, 4> labels{0, 1, 0, 1};
};

TEST_F(OneBatchNorm, leaves_mean_and_unbiased_variance_in_the_batch_statistics) {
  Model model(layout);
  model.arena.initialize(1);
  model.tape.begin(Mode::training);
  bn(input(model));
  const auto batch = model.arena.batch({0});
  EXPECT_EQ(values_of(batch.mean), (Values{2.0F, 10.0F}));
  EXPECT_FLOAT_EQ(batch.variance.host()[0], 20.0F / 3);
  EXPECT_FLOAT_EQ(batch.variance.host()[1], 1.0F / 3);
  EXPECT_EQ(values_of(model.arena.running({0}).mean), (Values{0.0F, 0.0F})) << "who trains decides when they move";
}

TEST_F(OneBatchNorm, normalises_by_the_batch_in_training) {
  Model model(layout);
  model.arena.initialize(1);
  model.tape.begin(Mode::training);
  const auto y = values_of(bn(input(model)).data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double mean = i % 2 == 0 ? 2 : 10;
    const double variance = i % 2 == 0 ? 5 : 0.25;
    EXPECT_NEAR(y[i], (kRows[i] - mean) / std::sqrt(variance + 1e-5), 1e-6) << i;  // a few eps of values below 2
  }
}

TEST_F(OneBatchNorm, normalises_by_the_running_statistics_in_inference) {
  Model model(layout);
  model.arena.initialize(1);
  copy(In(Values{1, 2}.data(), 2), model.arena.running({0}).mean);
  copy(In(Values{4, 16}.data(), 2), model.arena.running({0}).variance);
  model.tape.begin(Mode::inference);
  const auto y = values_of(bn(input(model)).data());
  EXPECT_NEAR(y[0], -1.0, 1e-5);   // (-1 - 1) / 2; eps moves it by 1e-5 / 8
  EXPECT_NEAR(y[1], 1.875, 1e-5);  // (9.5 - 2) / 4
  EXPECT_NEAR(y[7], 2.125, 1e-5);
}

TEST_F(OneBatchNorm, without_running_statistics_normalises_by_the_batch_in_both_modes) {
  Model model(layout);
  model.arena.initialize(1);
  model.tape.begin(Mode::training);
  const auto training = values_of(untracked(input(model)).data());
  model.tape.begin(Mode::inference);
  EXPECT_EQ(values_of(untracked(input(model)).data()), training);
}

TEST_F(OneBatchNorm, has_one_use_a_pass_when_it_keeps_statistics) {
  Model model(layout);
  model.tape.begin(Mode::training);
  const Var x = input(model);
  const Var y = bn(x);
  EXPECT_EQ(error_of<KernelError>([&] { bn(y); }),
            "batch_norm: bn.weight is used 2 times in one pass, its batch statistics have room for 1");
  EXPECT_EQ(error_of<KernelError>([&] { untracked.add_relu(x, x); }),
            "batch_norm: the residual and x are one value of shape (4, 1, 1, 2)");
}

TEST(SoftmaxCrossEntropy, scores_a_batch) {
  Model model;
  model.tape.begin(Mode::inference);
  Values logits{0, 0, 0, 0, 0, 0, 0, /**/ 3, 9, 8, 7, 6, 5, 4, /**/ 0, 0, 9, 0, 0, 0, 0};
  const std::array<std::int32_t, 3> labels{6, 0, 2};  // tied last, seventh, first
  const auto score = softmax_cross_entropy(model.tape.input(tensor_over({3, 7}, logits)), labels_over(labels), 1.0F);
  EXPECT_EQ(score.rows, 3);
  EXPECT_EQ(score.top1, 1);
  EXPECT_EQ(score.top5, 1);
  double second = 0;
  for (int i = 3; i <= 9; ++i) second += std::exp(i - 3.0);
  EXPECT_NEAR(score.loss_sum, std::log(7.0) + std::log(second) + std::log(1 + 6 * std::exp(-9.0)), 1e-5);
}

TEST(SoftmaxCrossEntropy, refuses_labels_that_are_no_class) {
  Model model;
  model.tape.begin(Mode::inference);
  Values logits(6);
  const Var x = model.tape.input(tensor_over({2, 3}, logits));
  const auto message = [&](std::vector<std::int32_t> labels) {
    return error_of<InputError>([&] { softmax_cross_entropy(x, labels_over(labels), 1.0F); });
  };
  EXPECT_EQ(message({0, 3}), "softmax_cross_entropy: label 3 is not in 0 .. 2");
  EXPECT_EQ(message({-1, 0}), "softmax_cross_entropy: label -1 is not in 0 .. 2");
}

/// Each operation with operands that do not fit, and what it says.
class ShapeErrors : public testing::Test {
 protected:
  ShapeErrors() { model.tape.begin(Mode::training); }

  Var input(const Shape& shape) { return model.tape.input(tensor_over(shape, memory.emplace_back(shape.size()))); }
  template <class Action>
  std::string message(Action&& action) {
    return error_of<ShapeError>(action);
  }

  ParameterLayout layout;
  ParameterId filter = layout.add("filter", {8, 3, 3, 4}, {});  // (K, R, S, C)
  ParameterId matrix = layout.add("matrix", {5, 6}, {});        // (K, C)
  ParameterId bias = layout.add("bias", {5}, {});
  ParameterId short_bias = layout.add("short_bias", {4}, {});
  BatchNorm bn{layout, "bn", 4};
  Model model{layout};
  std::vector<Values> memory = [] {
    std::vector<Values> reserved;
    reserved.reserve(8);  // inputs keep pointing at their elements
    return reserved;
  }();
};

TEST_F(ShapeErrors, conv2d) {
  EXPECT_EQ(message([&] { conv2d(input({2, 4}), filter, {}); }), "conv2d: x must be (N, H, W, C), got (2, 4)");
  EXPECT_EQ(message([&] { conv2d(input({1, 4, 4, 4}), matrix, {}); }), "conv2d: w must be (K, R, S, C), got (5, 6)");
  EXPECT_EQ(message([&] { conv2d(input({1, 4, 4, 3}), filter, {}); }), "conv2d: x has 3 channels, w expects 4");
  EXPECT_EQ(message([&] {
              conv2d(input({1, 4, 4, 4}), filter, {.stride = 0});
            }),
            "conv2d: the stride must be at least 1, got 0");
  EXPECT_EQ(message([&] {
              conv2d(input({1, 4, 4, 4}), filter, {.padding = -1});
            }),
            "conv2d: the padding must not be negative, got -1");
  EXPECT_EQ(message([&] {
              conv2d(input({1, 2, 4, 4}), filter, {});
            }),
            "conv2d: a 3x3 filter does not fit into a padded image of 2x4");
}

TEST_F(ShapeErrors, batch_norm) {
  EXPECT_EQ(message([&] { bn(input({2, 3})); }), "batch_norm: x has 3 channels, gamma expects 4");
  EXPECT_EQ(message([&] {
              bn.add_relu(input({2, 4}), input({3, 4}));
            }),
            "batch_norm: the residual has shape (3, 4), x has (2, 4)");
  // Refused before an element is touched: there is no memory behind it.
  const Shape huge{1 << 20, 1 << 6, 1 << 5, 4};
  Values one(1);
  EXPECT_EQ(message([&] {
              bn(model.tape.input(Tensor{huge, Out(one.data(), huge.size())}));
            }),
            "batch_norm: x of shape (1048576, 64, 32, 4) has 2147483648 rows, at most 2147483647 are possible");
}

TEST_F(ShapeErrors, add) {
  EXPECT_EQ(message([&] { add(input({2, 3}), input({3, 2})); }), "add: a has shape (2, 3), b has (3, 2)");
}

TEST_F(ShapeErrors, avg_pool) {
  EXPECT_EQ(message([&] { avg_pool(input({2, 4}), 2); }), "avg_pool: x must be (N, H, W, C), got (2, 4)");
  EXPECT_EQ(message([&] { avg_pool(input({1, 4, 3, 2}), 4); }), "avg_pool: a window of 4 does not fit into an image of 4x3");
}

TEST_F(ShapeErrors, linear) {
  EXPECT_EQ(message([&] { linear(input({2, 7}), matrix, bias); }), "linear: x has 7 features, w expects 6");
  EXPECT_EQ(message([&] { linear(input({2, 6}), matrix, short_bias); }), "linear: the bias has 4 elements, w has 5 outputs");
}

TEST_F(ShapeErrors, softmax_cross_entropy) {
  const std::array<std::int32_t, 2> labels{0, 0};
  EXPECT_EQ(message([&] {
              softmax_cross_entropy(input({3, 2}), labels_over(labels), 1.0F);
            }),
            "softmax_cross_entropy: 2 labels for 3 rows");
  EXPECT_EQ(message([&] {
              softmax_cross_entropy(input({2, 2, 2, 5}), labels_over(labels), 1.0F);
            }),
            "softmax_cross_entropy: logits must be (N, classes), got (2, 2, 2, 5)");
}

}  // namespace
}  // namespace apam::engine
