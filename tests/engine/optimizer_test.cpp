// Optimizer steps against precomputed values.
#include "engine/optim/optimizer.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Rule = kernels::OptimizerStep::Rule;

constexpr std::size_t kSize = 16;

/// An optimizer of equal weights, stepped with equal gradients.
class Stepper {
 public:
  explicit Stepper(const OptimizerOptions& options, float start, std::string_view kernels = "reference")
      : model_({}, kernels), optimizer_({}, kSize, options), weights_(kSize, start) {}

  float step(float gradient) {
    const std::vector<float> gradients(kSize, gradient);
    optimizer_.step(model_.exec, ConstSpan<float>(gradients.data(), kSize), Span<float>(weights_.data(), kSize));
    for (const float weight : weights_) EXPECT_TRUE(weight == weights_[0] || std::isnan(weights_[0])) << weight;
    return weights_[0];
  }
  std::int64_t steps() const { return optimizer_.steps(); }

 private:
  Model model_;
  Optimizer optimizer_;
  std::vector<float> weights_;
};

// A few float operations on values around 1, each with half an eps of rounding.
constexpr float kRounding = 8 * std::numeric_limits<float>::epsilon();

TEST(Optimizer, sgd_subtracts_the_scaled_gradient) {
  Stepper stepper({.rule = Rule::sgd, .learning_rate = 0.5}, 3.0F);
  EXPECT_EQ(stepper.step(2.0F), 2.0F);
  EXPECT_EQ(stepper.step(-1.0F), 2.5F);
  EXPECT_EQ(stepper.steps(), 2);
}

TEST(Optimizer, weight_decay_is_added_to_the_gradient) {
  Stepper stepper({.rule = Rule::sgd, .learning_rate = 0.5, .weight_decay = 0.25}, 4.0F);
  EXPECT_EQ(stepper.step(1.0F), 3.0F);  // 4 - 0.5 * (1 + 0.25 * 4)
}

// m = 2, then 1/2 * 2 - 1 = 0, then 1/2 * 0 + 4 = 4.
TEST(Optimizer, momentum_adds_up_gradients) {
  Stepper stepper({.rule = Rule::momentum, .learning_rate = 0.5, .momentum = 0.5}, 3.0F);
  EXPECT_EQ(stepper.step(2.0F), 2.0F);
  EXPECT_EQ(stepper.step(-1.0F), 2.0F);
  EXPECT_EQ(stepper.step(4.0F), 0.0F);
  EXPECT_EQ(stepper.steps(), 3);
}

// The same m; steps along g + m / 2: 3, -1, 6.
TEST(Optimizer, nesterov_looks_ahead) {
  Stepper stepper({.rule = Rule::nesterov, .learning_rate = 0.5, .momentum = 0.5}, 3.0F);
  EXPECT_EQ(stepper.step(2.0F), 1.5F);
  EXPECT_EQ(stepper.step(-1.0F), 2.0F);
  EXPECT_EQ(stepper.step(4.0F), -1.0F);
}

// Gradients 1 + 1/4 * 4 = 2, then 0 + 1/4 * 2 = 1/2; m = 2, 3/2.
TEST(Optimizer, weight_decay_is_added_before_momentum) {
  Stepper stepper({.rule = Rule::momentum, .learning_rate = 1, .weight_decay = 0.25, .momentum = 0.5}, 4.0F);
  EXPECT_EQ(stepper.step(1.0F), 2.0F);
  EXPECT_EQ(stepper.step(0.0F), 0.5F);
}

TEST(Optimizer, the_rate_is_outside_of_momentum) {
  OptimizerOptions options{.rule = Rule::momentum, .learning_rate = 1, .momentum = 0.5};
  options.schedule.warmup_updates = 2;  // rates 1/2, 1
  Stepper stepper(options, 3.0F);
  EXPECT_EQ(stepper.step(2.0F), 2.0F);
  EXPECT_EQ(stepper.step(0.0F), 1.0F);  // m = 1
}

TEST(Optimizer, has_the_moments_of_its_rule) {
  const std::array<std::size_t, 5> moments{0, 1, 1, 2, 3};
  for (const auto rule : kernels::OptimizerStep::rules) {
    const Optimizer optimizer({}, kSize, {.rule = rule, .momentum = has_momentum(rule) ? 0.9 : 0.0});
    EXPECT_EQ(optimizer.moments().size(), moments.at(static_cast<std::size_t>(rule)) * kSize) << to_string(rule);
  }
}

/// Weights with moments, one by one, as in the documentation of torch.optim.SGD.
struct PlainMomentum {
  double rate, momentum, weight_decay;
  bool nesterov;
  std::vector<double> weights, buffer = std::vector<double>(weights.size());

  void step(const std::vector<float>& gradients) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double g = gradients[i] + weight_decay * weights[i];
      buffer[i] = momentum * buffer[i] + g;
      weights[i] -= rate * (nesterov ? g + momentum * buffer[i] : buffer[i]);
    }
  }
};

// 60 steps, more than 1 / (1 - momentum). A step has four multiply-adds on values below 4, and momentum adds up the errors of
// about ten steps.
TEST(Optimizer, momentum_follows_plain_code) {
  for (const auto rule : {Rule::momentum, Rule::nesterov}) {
    for (const auto kernels : {"reference", "native"}) {
      const OptimizerOptions options{.rule = rule, .learning_rate = 0.01, .weight_decay = 1e-3, .momentum = 0.9};
      Model model({}, kernels);
      Optimizer optimizer({}, kSize, options);
      std::vector<float> weights = normals(kSize, 0);
      PlainMomentum plain{options.learning_rate,
                          options.momentum,
                          options.weight_decay,
                          rule == Rule::nesterov,
                          {weights.begin(), weights.end()}};
      for (std::uint64_t t = 1; t <= 60; ++t) {
        const auto g = normals(kSize, t);
        optimizer.step(model.exec, ConstSpan<float>(g.data(), kSize), Span<float>(weights.data(), kSize));
        plain.step(g);
      }
      for (std::size_t i = 0; i < kSize; ++i) {
        EXPECT_NEAR(weights[i], plain.weights[i], 60 * 4 * kRounding) << to_string(rule) << ' ' << kernels;
        EXPECT_NEAR(optimizer.moments().host()[i], plain.buffer[i], 10 * 4 * kRounding);
      }
    }
  }
}

// beta1 = 1/2, beta2 = 3/4. First gradient 2: m = 1, v = 1, bias correction sqrt(1 - 3/4) / (1 - 1/2) = 1. Second gradient 0:
// m = 1/2, v = 3/4, bias correction sqrt(1 - 9/16) / (1 - 1/4) = sqrt(7) / 3.
constexpr OptimizerOptions kHalf{.learning_rate = 0.25, .beta1 = 0.5, .beta2 = 0.75, .eps = 1e-30};

TEST(Optimizer, adam_matches_its_formula) {
  OptimizerOptions options = kHalf;
  options.rule = Rule::adam;
  Stepper stepper(options, 1.0F);
  EXPECT_NEAR(stepper.step(2.0F), 0.75F, kRounding);
  EXPECT_NEAR(stepper.step(0.0F), 0.75 - 0.25 * std::sqrt(7.0) / 3 * 0.5 / std::sqrt(0.75), kRounding);
}

TEST(Optimizer, amsgrad_keeps_the_maximum_of_the_second_moment) {
  OptimizerOptions options = kHalf;
  options.rule = Rule::amsgrad;
  Stepper stepper(options, 1.0F);
  EXPECT_NEAR(stepper.step(2.0F), 0.75F, kRounding);
  EXPECT_NEAR(stepper.step(0.0F), 0.75 - 0.25 * std::sqrt(7.0) / 3 * 0.5, kRounding);
}

// The first step is rate * (1 - beta1) g / sqrt((1 - beta2) g^2) = learning_rate up to a few roundings, if 1 - beta is computed
// in double. With beta2 rounded to float32 first, 1 - beta2 has a relative error of 1.3e-5 and the step half of that.
TEST(Optimizer, one_minus_beta_is_computed_in_double) {
  for (const auto rule : {Rule::adam, Rule::amsgrad}) {
    for (const auto kernels : {"reference", "native"}) {
      Stepper stepper({.rule = rule, .learning_rate = 0.5, .eps = 1e-30}, 0.0F, kernels);
      EXPECT_NEAR(stepper.step(2.0F), -0.5, kRounding) << to_string(rule) << ' ' << kernels;
    }
  }
}

TEST(Optimizer, overflow_of_the_second_moment_gives_nan) {
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

TEST(Optimizer, rejects_invalid_options) {
  struct Invalid {
    OptimizerOptions options;
    std::vector<std::string_view> words;
  };
  const std::vector<Invalid> cases{
      {{.learning_rate = 0}, {"learning rate", "above 0", "0"}},
      {{.learning_rate = std::nan("")}, {"learning rate", "above 0", "nan"}},
      {{.beta1 = 1}, {"beta1", "[0, 1)", "1"}},
      {{.beta2 = -0.5}, {"beta2", "[0, 1)", "-0.5"}},
      {{.eps = 0}, {"eps", "above 0", "0"}},
      {{.weight_decay = -1}, {"weight decay", "-1"}},
      {{.learning_rate = 1e-46}, {"learning rate", "1.18e-38", "3.4e+38", "1e-46"}},
      {{.beta2 = 1 - 1e-8}, {"beta2", "1", "0.99999994", "0.99999999"}},
      {{.eps = 1e39}, {"eps", "1.18e-38", "3.4e+38", "1e+39"}},
      {{.weight_decay = 1e-40}, {"weight decay", "1.18e-38", "3.4e+38", "1e-40"}},
      {{.momentum = 0.9}, {"momentum and nesterov", "0.9", "amsgrad"}},
      {{.rule = Rule::sgd, .momentum = 0.9}, {"momentum and nesterov", "0.9", "sgd"}},
      {{.rule = Rule::momentum}, {"momentum needs", "above 0", "0"}},
      {{.rule = Rule::nesterov}, {"nesterov needs", "above 0", "0"}},
      {{.rule = Rule::momentum, .momentum = 1}, {"momentum", "[0, 1)", "1"}},
      {{.rule = Rule::nesterov, .momentum = -0.5}, {"momentum", "[0, 1)", "-0.5"}},
      {{.rule = Rule::nesterov, .momentum = 1 - 1e-9}, {"momentum", "0.99999994", "0.999999999"}},
      {{.rule = Rule::momentum, .momentum = 1e-40}, {"momentum", "1.18e-38", "3.4e+38", "1e-40"}},
      {{.learning_rate = 1e38}, {"learning rates", "1.18e-38", "3.4e+38", "3.16e+36", "1e+39"}},
  };
  for (const auto& [options, words] : cases) {
    EXPECT_TRUE(throws<InputError>(words, [&, o = options] { Optimizer({}, kSize, o); })) << words.front();
  }
  EXPECT_NO_THROW(Optimizer({}, kSize, {.rule = Rule::sgd, .learning_rate = 1e38, .beta1 = 0}));
  EXPECT_NO_THROW(Optimizer({}, kSize, {.rule = Rule::nesterov, .learning_rate = 1e38, .momentum = 0.9}));
}

void expect_the_bits_of_single_steps(OptimizerOptions options) {
  options.schedule.warmup_updates = 5;
  Model model({}, "native");
  Optimizer singly({}, kSize, options), at_once({}, kSize, options);
  std::vector<float> one(kSize, 1.0F), to(kSize);
  const std::vector<float> from = one;
  std::vector<std::vector<float>> gradients;
  for (std::uint64_t k = 0; k < 6; ++k) gradients.push_back(normals(kSize, k));
  std::vector<ConstSpan<float>> spans;
  for (const auto& g : gradients) {
    spans.emplace_back(g.data(), kSize);
    singly.step(model.exec, spans.back(), Span<float>(one.data(), kSize));
  }
  at_once.step_each(model.exec, spans, ConstSpan<float>(from.data(), kSize), Span<float>(to.data(), kSize));
  EXPECT_EQ(at_once.steps(), 6);
  EXPECT_EQ(one, to);
}

TEST(Optimizer, steps_at_once_use_the_rate_of_each_step) {
  expect_the_bits_of_single_steps({.learning_rate = 0.01});
  expect_the_bits_of_single_steps({.rule = Rule::nesterov, .learning_rate = 0.01, .momentum = 0.9});
}

TEST(Optimizer, rejects_a_wrong_number_of_gradients_at_once) {
  Model model;
  Optimizer optimizer({}, kSize, {});
  std::vector<float> values(kSize);
  const Span<float> weights(values.data(), kSize);
  for (const std::size_t count : {0, 9}) {
    const std::vector<ConstSpan<float>> gradients(count, weights);
    const auto step = [&] { optimizer.step_each(model.exec, gradients, weights, weights); };
    EXPECT_TRUE(throws<InputError>({"optimizer", std::to_string(count), "1 to 8"}, step));
  }
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Optimizer, rejects_vectors_of_another_size) {
  Model model;
  Optimizer optimizer({}, kSize, {});
  std::vector<float> values(kSize + 1);
  const auto step = [&] {
    optimizer.step(model.exec, ConstSpan<float>(values.data(), kSize + 1), Span<float>(values.data(), kSize));
  };
  EXPECT_TRUE(throws<ShapeError>({"optimizer", "17", "gradients", "16", "weights", "16"}, step));
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Optimizer, rules_have_names) {
  for (const auto rule : kernels::OptimizerStep::rules) EXPECT_EQ(parse_rule(to_string(rule)), rule);
  EXPECT_TRUE(throws<InputError>({"sgd", "momentum", "nesterov", "adam", "amsgrad", "adagrad"}, [] { parse_rule("adagrad"); }));
}

TEST(RunningStatistics, move_by_a_tenth_towards_the_batch) {
  Model model;
  std::vector<float> running(kSize, 1.0F);
  const std::vector<float> batch(kSize, 3.0F);
  update_running_statistics(model.exec, ConstSpan<float>(batch.data(), kSize), Span<float>(running.data(), kSize));
  for (const float value : running) EXPECT_NEAR(value, 1.2F, kRounding);
  const auto update = [&] {
    update_running_statistics(model.exec, ConstSpan<float>(batch.data(), 3), Span<float>(running.data(), 4));
  };
  EXPECT_TRUE(throws<ShapeError>({"running statistics", "3", "4"}, update));
}

}  // namespace
}  // namespace apam::engine
