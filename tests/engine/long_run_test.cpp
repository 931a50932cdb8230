// A million optimizer steps of a few weights against the formulas of kernels/ops/optimizer_step.h in long double. The reference
// carries a bound on the accumulated float32 rounding (running error analysis: Higham, "Accuracy and stability of numerical
// algorithms", 2002, section 3.3). Both sides get the same gradients; weight decay uses the float32 weights on both.
//
//   engine_long_run [STEPS]
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "engine/optim/optimizer.h"
#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Rule = kernels::OptimizerStep::Rule;
using Real = long double;

constexpr Real kUnit = 0x1p-24L;                                 // relative rounding error of one operation
constexpr Real kTiny = Real(std::numeric_limits<float>::min());  // absolute error near zero

/// An exact value and a bound on the error of its float32 counterpart.
struct Bounded {
  Real value = 0, error = 0;

  Real magnitude() const { return std::abs(value) + error; }
};

Bounded rounded(Real value, Real error) { return {value, error + kUnit * (std::abs(value) + error) + kTiny}; }
Bounded exactly(float value) { return {Real(value), 0}; }
Bounded constant(Real value) { return {value, std::abs(Real(static_cast<float>(value)) - value)}; }

Bounded operator+(const Bounded& a, const Bounded& b) { return rounded(a.value + b.value, a.error + b.error); }
Bounded operator*(const Bounded& a, const Bounded& b) {
  return rounded(a.value * b.value, a.magnitude() * b.magnitude() - std::abs(a.value * b.value));
}
/// Requires b.value > b.error.
Bounded operator/(const Bounded& a, const Bounded& b) {
  return rounded(a.value / b.value, a.magnitude() / (b.value - b.error) - std::abs(a.value) / b.value);
}
Bounded square_root(const Bounded& a) {
  return rounded(std::sqrt(a.value), std::sqrt(a.value) - std::sqrt(std::max<Real>(0, a.value - a.error)));
}
Bounded larger(const Bounded& a, const Bounded& b) { return {std::max(a.value, b.value), std::max(a.error, b.error)}; }

/// The exact trajectory of one weight and its moments.
class Trajectory {
 public:
  Trajectory(const OptimizerOptions& options, float start) : options_(options), weight_(exactly(start)) {}

  /// Applies one step; returns the change of the weight.
  Bounded step(const Bounded& rate, float gradient, float weight) {
    Bounded g = exactly(gradient) + constant(Real(options_.weight_decay)) * exactly(weight);
    Bounded quotient = g;
    if (has_momentum(options_.rule)) {
      const Bounded momentum = constant(Real(options_.momentum));
      m_ = momentum * m_ + g;
      quotient = options_.rule == Rule::nesterov ? g + momentum * m_ : m_;
    } else if (options_.rule != Rule::sgd) {
      m_ = constant(Real(options_.beta1)) * m_ + constant(1 - Real(options_.beta1)) * g;
      v_ = constant(Real(options_.beta2)) * v_ + constant(1 - Real(options_.beta2)) * g * g;
      vh_ = options_.rule == Rule::amsgrad ? larger(vh_, v_) : v_;
      quotient = m_ / (square_root(vh_) + constant(Real(options_.eps)));
    }
    Bounded change = rate * quotient;
    change.value = -change.value;
    path_ += std::abs(change.value);
    const Bounded sum = weight_ + change;
    // The rounding of the sum follows from the float32 weight itself.
    weight_ = {sum.value, weight_.error + change.error + kUnit * (Real(std::abs(weight)) + change.magnitude())};
    return change;
  }
  const Bounded& weight() const { return weight_; }
  Real path() const { return path_; }  ///< sum of the lengths of all steps

 private:
  OptimizerOptions options_;
  Bounded weight_, m_, v_, vh_;
  Real path_ = 0;
};

/// Typical gradients, one kind per weight: constant, noise, noise with a mean, exponential decay, sparse, zero after 1000
/// steps, slow decay, and those of a noisy parabola.
class Gradients {
 public:
  static constexpr std::size_t kCount = 8;

  std::vector<float> at(std::int64_t t, const std::vector<float>& weights) const {
    const auto time = static_cast<float>(t);
    const auto noise = [&](std::size_t i) { return normals_[(static_cast<std::size_t>(t) * 31 + i * 7919) % normals_.size()]; };
    return {0.01F,
            1e-3F * noise(1),
            1e-2F * (1 + noise(2)),
            std::exp(time * -5e-4F) * noise(3),
            t % 1000 == 1 ? 1.0F : 0.0F,
            t < 1000 ? 0.1F * noise(5) : 0.0F,
            noise(6) / std::sqrt(time),
            weights[7] - 0.5F + 0.1F * noise(7)};
  }

 private:
  std::vector<float> normals_ = normals(65537, 0);
};

std::int64_t& step_count() {
  static std::int64_t count = 1'000'000;
  return count;
}

Bounded rate_of(const OptimizerOptions& options, std::int64_t t) {
  Real rate = Real(options.learning_rate);
  if (options.rule == Rule::adam || options.rule == Rule::amsgrad) {
    rate *= std::sqrt(1 - std::pow(Real(options.beta2), Real(t))) / (1 - std::pow(Real(options.beta1), Real(t)));
  }
  return {rate, kUnit * rate * (1 + 1e-3L)};  // rounded from double, whose own error is far below 1e-3 of that
}

void check(const OptimizerOptions& options) {
  Model model({}, "native");
  Optimizer optimizer({}, Gradients::kCount, options);
  std::vector<float> weights{0, 0.05F, -0.3F, 0, 1, 0.01F, -0.05F, 2};
  std::vector<Trajectory> trajectories;
  for (const float weight : weights) trajectories.emplace_back(options, weight);
  const Gradients gradients;
  for (std::int64_t t = 1; t <= step_count(); ++t) {
    const auto g = gradients.at(t, weights);
    const auto before = weights;
    optimizer.step(model.exec, ConstSpan<float>(g.data(), g.size()), Span<float>(weights.data(), weights.size()));
    const Bounded rate = rate_of(options, t);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const Bounded change = trajectories[i].step(rate, g[i], before[i]);
      const Real off = std::abs(Real(weights[i]) - Real(before[i]) - change.value);
      ASSERT_LE(off, change.error + kUnit * (Real(std::abs(before[i])) + change.magnitude()))
          << "step " << t << " of weight " << i;
      const Bounded& target = trajectories[i].weight();
      ASSERT_LE(std::abs(Real(weights[i]) - target.value), target.error) << "weight " << i << " after step " << t;
    }
  }
  // The bounds are meaningful: well below the distance travelled.
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_LT(trajectories[i].weight().error, trajectories[i].path() / 2) << i;
}

TEST(LongRun, sgd_follows_its_formula) { check({.rule = Rule::sgd, .learning_rate = 1e-2, .weight_decay = 1e-4}); }
TEST(LongRun, momentum_follows_its_formula) {
  check({.rule = Rule::momentum, .learning_rate = 1e-3, .weight_decay = 1e-4, .momentum = 0.9});
}
TEST(LongRun, nesterov_follows_its_formula) { check({.rule = Rule::nesterov, .learning_rate = 1e-3, .momentum = 0.9}); }
TEST(LongRun, adam_follows_its_formula) { check({.rule = Rule::adam, .learning_rate = 1e-3}); }
TEST(LongRun, adam_with_weight_decay_follows_its_formula) {
  check({.rule = Rule::adam, .learning_rate = 1e-4, .beta1 = 0.8, .beta2 = 0.99, .weight_decay = 5e-4});
}
TEST(LongRun, amsgrad_follows_its_formula) { check({.rule = Rule::amsgrad, .learning_rate = 1e-3, .weight_decay = 1e-4}); }

}  // namespace
}  // namespace apam::engine

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto& steps = apam::engine::step_count();
  if (argc > 1) {
    const std::string_view text(argv[1]);
    const auto [end, error] = std::from_chars(text.begin(), text.end(), steps);
    if (error != std::errc() || end != text.end() || steps < 1) {
      std::puts("usage: engine_long_run [STEPS]");
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
