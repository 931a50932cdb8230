// Optimizer steps against numbers worked out by hand, on every provider that is asked for.
#include "engine/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Rule = kernels::OptimizerStep::Rule;

constexpr std::size_t kSize = 16;

/// Weights of one value, stepped with gradients of one value.
class Stepper {
 public:
  explicit Stepper(const OptimizerOptions& options, float start, std::string_view kernels = "reference")
      : model_({}, kernels), optimizer_({}, kSize, options), weights_(kSize, start) {}

  float step(float gradient) {
    const std::vector<float> gradients(kSize, gradient);
    optimizer_.step(model_.exec, In(gradients.data(), kSize), Out(weights_.data(), kSize));
    for (const float weight : weights_) EXPECT_TRUE(weight == weights_[0] || std::isnan(weights_[0])) << weight;
    return weights_[0];
  }
  std::int64_t steps() const { return optimizer_.steps(); }

 private:
  Model model_;
  Optimizer optimizer_;
  std::vector<float> weights_;
};

// A handful of float operations on numbers around 1, each rounded by half an eps.
constexpr float kRounding = 8 * std::numeric_limits<float>::epsilon();

TEST(Optimizer, sgd_subtracts_the_scaled_gradient) {
  Stepper stepper({.rule = Rule::sgd, .learning_rate = 0.5}, 3.0F);
  EXPECT_EQ(stepper.step(2.0F), 2.0F);
  EXPECT_EQ(stepper.step(-1.0F), 2.5F);
  EXPECT_EQ(stepper.steps(), 2);
}

TEST(Optimizer, weight_decay_adds_to_the_gradient) {
  Stepper stepper({.rule = Rule::sgd, .learning_rate = 0.5, .weight_decay = 0.25}, 4.0F);
  EXPECT_EQ(stepper.step(1.0F), 3.0F);  // 4 - 0.5 * (1 + 0.25 * 4)
}

// beta1 = 1/2, beta2 = 3/4. First gradient 2: m = 1, v = 1, the factor sqrt(1 - 3/4) / (1 - 1/2) is 1. Second gradient 0:
// m = 1/2, v = 3/4, the factor is sqrt(1 - 9/16) / (1 - 1/4) = sqrt(7) / 3.
constexpr OptimizerOptions kHalf{.learning_rate = 0.25, .beta1 = 0.5, .beta2 = 0.75, .eps = 1e-30};

TEST(Optimizer, adam_follows_its_moments) {
  OptimizerOptions options = kHalf;
  options.rule = Rule::adam;
  Stepper stepper(options, 1.0F);
  EXPECT_NEAR(stepper.step(2.0F), 0.75F, kRounding);
  EXPECT_NEAR(stepper.step(0.0F), 0.75 - 0.25 * std::sqrt(7.0) / 3 * 0.5 / std::sqrt(0.75), kRounding);
}

TEST(Optimizer, amsgrad_keeps_the_largest_second_moment) {
  OptimizerOptions options = kHalf;
  options.rule = Rule::amsgrad;
  Stepper stepper(options, 1.0F);
  EXPECT_NEAR(stepper.step(2.0F), 0.75F, kRounding);
  EXPECT_NEAR(stepper.step(0.0F), 0.75 - 0.25 * std::sqrt(7.0) / 3 * 0.5, kRounding);
}

// The first step is rate * (1 - beta1) g / sqrt((1 - beta2) g^2) = learning_rate, to a few roundings, when both complements are
// rounded from double. From beta2 rounded to float32 first, 1 - beta2 would be off by 1.3e-5, and the step by half of that.
TEST(Optimizer, complements_of_the_betas_are_formed_in_double) {
  for (const auto rule : {Rule::adam, Rule::amsgrad}) {
    for (const auto kernels : {"reference", "native"}) {
      Stepper stepper({.rule = rule, .learning_rate = 0.5, .eps = 1e-30}, 0.0F, kernels);
      EXPECT_NEAR(stepper.step(2.0F), -0.5, kRounding) << to_string(rule) << ' ' << kernels;
    }
  }
}

TEST(Optimizer, shows_a_second_moment_that_overflows) {
  for (const auto rule : {Rule::adam, Rule::amsgrad}) {
    for (const auto kernels : {"reference", "native"}) {
      Stepper stepper({.rule = rule}, 1.0F, kernels);
      EXPECT_TRUE(std::isnan(stepper.step(1e30F))) << to_string(rule) << ' ' << kernels;
    }
  }
}

TEST(Optimizer, eps_bounds_the_step_of_a_vanishing_gradient) {
  Stepper stepper({.rule = Rule::amsgrad, .learning_rate = 1.0, .beta1 = 0.5, .beta2 = 0.75, .eps = 1.0}, 0.0F);
  EXPECT_EQ(stepper.step(0.0F), 0.0F);
  Stepper other({.rule = Rule::amsgrad, .learning_rate = 1.0, .beta1 = 0.5, .beta2 = 0.75, .eps = 1.0}, 0.0F);
  EXPECT_NEAR(other.step(2.0F), -0.5F, kRounding);  // m = 1, sqrt(v) + eps = 2
}

TEST(Optimizer, names_what_is_wrong_with_its_options) {
  const auto message = [](const OptimizerOptions& options) {
    return error_of<InputError>([&] { Optimizer({}, kSize, options); });
  };
  EXPECT_EQ(message({.learning_rate = 0}), "optimizer: the learning rate must be above 0, got 0");
  EXPECT_EQ(message({.beta1 = 1}), "optimizer: beta1 must be in [0, 1), got 1");
  EXPECT_EQ(message({.beta2 = -0.5}), "optimizer: beta2 must be in [0, 1), got -0.5");
  EXPECT_EQ(message({.eps = 0}), "optimizer: eps must be above 0, got 0");
  EXPECT_EQ(message({.weight_decay = -1}), "optimizer: weight decay must not be negative, got -1");
  EXPECT_EQ(message({.learning_rate = 1e-46}),
            "optimizer: the learning rate must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-46");
  EXPECT_EQ(message({.beta2 = 1 - 1e-8}), "optimizer: beta2 must stay below 1 in float32, at most 0.99999994, got 0.99999999");
  EXPECT_EQ(message({.eps = 1e39}), "optimizer: eps must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e+39");
  EXPECT_EQ(message({.weight_decay = 1e-40}),
            "optimizer: weight decay must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-40");
  EXPECT_EQ(message({.learning_rate = 1e38}),
            "optimizer: the rates of all steps must be normal float32 numbers, 1.18e-38 to 3.4e+38, got 3.16e+36 to 1e+39");
  EXPECT_EQ(message({.rule = Rule::sgd, .learning_rate = 1e38, .beta1 = 0, .weight_decay = 0}), "no error");
  EXPECT_EQ(message({.learning_rate = std::nan("")}), "optimizer: the learning rate must be above 0, got nan");
}

TEST(Optimizer, refuses_vectors_of_another_size) {
  Model model;
  Optimizer optimizer({}, kSize, {});
  std::vector<float> values(kSize + 1);
  EXPECT_EQ(error_of<ShapeError>([&] { optimizer.step(model.exec, In(values.data(), kSize + 1), Out(values.data(), kSize)); }),
            "optimizer: 17 gradients and 16 weights for an optimizer of 16");
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Optimizer, rules_have_names) {
  for (const auto rule : {Rule::sgd, Rule::adam, Rule::amsgrad}) EXPECT_EQ(parse_rule(to_string(rule)), rule);
  EXPECT_EQ(error_of<InputError>([] { parse_rule("adagrad"); }), "optimizer: expected amsgrad, adam or sgd, got 'adagrad'");
}

TEST(RunningStatistics, move_a_tenth_of_the_way_to_the_batch) {
  Model model;
  std::vector<float> running(kSize, 1.0F);
  const std::vector<float> batch(kSize, 3.0F);
  update_running_statistics(model.exec, In(batch.data(), kSize), Out(running.data(), kSize));
  for (const float value : running) EXPECT_NEAR(value, 1.2F, kRounding);
  EXPECT_EQ(error_of<ShapeError>([&] { update_running_statistics(model.exec, In(batch.data(), 3), Out(running.data(), 4)); }),
            "running statistics: 3 of the batch for 4 running");
}

}  // namespace
}  // namespace apam::engine
