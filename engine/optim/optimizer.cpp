#include "engine/optim/optimizer.h"

#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <limits>

namespace apam::engine {

using Step = kernels::OptimizerStep;

Step::Rule parse_rule(std::string_view text) {
  for (const auto rule : Step::rules) {
    if (to_string(rule) == text) return rule;
  }
  fail<InputError>("optimizer: expected one of {}, got '{}'", fmt::join(Step::rule_names, ", "), text);
}

std::string_view to_string(Step::Rule rule) { return Step::rule_names.at(static_cast<std::size_t>(rule)); }

namespace {

constexpr double kSmallest = std::numeric_limits<float>::min(), kLargest = std::numeric_limits<float>::max();

/// Kernels take float32: rejects values that would round to zero, a denormal number or infinity.
void require_float32(std::string_view what, double value) {
  require<InputError>(value >= kSmallest && value <= kLargest,
                      "optimizer: {} must be a normal float32 number, {:.3g} to {:.3g}, got {}", what, kSmallest, kLargest,
                      value);
}
void require_zero_or_float32(std::string_view what, double value) {
  if (value != 0) require_float32(what, value);
}

/// Of a moment that decays.
void require_decay(std::string_view name, double decay) {
  require<InputError>(decay >= 0 && decay < 1, "optimizer: {} must be in [0, 1), got {}", name, decay);
  require<InputError>(static_cast<float>(decay) < 1, "optimizer: {} must be below 1 in float32, at most {}, got {}", name,
                      std::nextafter(1.0F, 0.0F), decay);
  require_zero_or_float32(name, decay);
}

void require_momentum(Step::Rule rule, double momentum) {
  require_decay("momentum", momentum);
  require<InputError>(has_momentum(rule) || momentum == 0,
                      "optimizer: momentum is for the rules momentum and nesterov, got {} for {}", momentum, to_string(rule));
  require<InputError>(!has_momentum(rule) || momentum > 0, "optimizer: {} needs a momentum above 0, got {}", to_string(rule),
                      momentum);
}

/// Whether the first steps are corrected for moments that begin with zero.
bool corrects_bias(Step::Rule rule) { return rule == Step::Rule::adam || rule == Step::Rule::amsgrad; }

void require_count(std::size_t gradients) {
  require<InputError>(gradients >= 1 && gradients <= Optimizer::kMostGradients,
                      "optimizer: {} gradients in one pass, expected 1 to {}", gradients, Optimizer::kMostGradients);
}

/// The rate of step t is rate(t), for adam and amsgrad times sqrt(1 - beta2^t) / (1 - beta1^t). Numerator and denominator both
/// grow to 1 with t, so this factor is between sqrt(1 - beta2) and 1 / (1 - beta1). The schedule's is at most 1.
void require_rates(const OptimizerOptions& options) {
  const bool corrected = corrects_bias(options.rule);
  const double least = options.learning_rate * options.schedule.lower_bound();
  const double smallest = corrected ? least * std::sqrt(1 - options.beta2) : least;
  const double largest = corrected ? options.learning_rate / (1 - options.beta1) : options.learning_rate;
  require<InputError>(
      smallest >= kSmallest && largest <= kLargest,
      "optimizer: the learning rates of all steps must be normal float32 numbers, {:.3g} to {:.3g}, got {:.3g} to {:.3g}",
      kSmallest, kLargest, smallest, largest);
}

}  // namespace

Optimizer::Optimizer(Device device, std::size_t size, const OptimizerOptions& options) : options_(options), size_(size) {
  require<InputError>(options.learning_rate > 0, "optimizer: the learning rate must be above 0, got {}", options.learning_rate);
  require<InputError>(options.eps > 0, "optimizer: eps must be above 0, got {}", options.eps);
  require_decay("beta1", options.beta1);
  require_decay("beta2", options.beta2);
  require_momentum(options.rule, options.momentum);
  require<InputError>(options.weight_decay >= 0, "optimizer: weight decay must not be negative, got {}", options.weight_decay);
  require_float32("the learning rate", options.learning_rate);
  require_float32("eps", options.eps);
  require_zero_or_float32("weight decay", options.weight_decay);
  options.schedule.check();
  require_rates(options);
  moments_ = Buffer(device, Step::moments_of(options.rule) * size * sizeof(float));
  zero(moments_.as<float>());
  rates_ = Buffer(device, kMostGradients * sizeof(float));
}

void Optimizer::resume(std::int64_t steps) {
  require<InputError>(steps >= 0, "optimizer: {} steps have been made, expected 0 or more", steps);
  steps_ = steps;
}

void Optimizer::step(Exec& exec, ConstSpan<float> gradients, const Step::Results& weights) {
  step_each(exec, std::span(&gradients, 1), weights.w, weights);
}

void Optimizer::step_each(Exec& exec, std::span<const ConstSpan<float>> gradients, ConstSpan<float> from,
                          const Step::Results& to, std::span<const double> factors) {
  require_count(gradients.size());
  for (const auto& one : gradients) {
    require<ShapeError>(one.size() == size_ && from.size() == size_ && to.w.size() == size_,
                        "optimizer: {} gradients for {} weights to {} weights, expected {} of each", one.size(), from.size(),
                        to.w.size(), size_);
  }
  require<ShapeError>(to.rounded.empty() || to.rounded.size() == size_,
                      "optimizer: a rounded copy of {} weights, expected {} or none", to.rounded.size(), size_);
  advance(exec, static_cast<int>(gradients.size()), factors);
  apply(exec, gradients, from, to);
}

void Optimizer::advance(Exec& exec, int steps, std::span<const double> factors) {
  const auto count = static_cast<std::size_t>(steps);
  require_count(count);
  require<InputError>(factors.empty() || factors.size() == count, "optimizer: {} factors for {} steps", factors.size(), steps);
  std::array<float, kMostGradients> rates{};
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t step = steps_ + static_cast<std::int64_t>(i) + 1;
    const auto t = static_cast<double>(step);
    double rate = options_.rate(step);
    if (corrects_bias(options_.rule)) {
      rate *= std::sqrt(1.0 - std::pow(options_.beta2, t)) / (1.0 - std::pow(options_.beta1, t));
    }
    if (!factors.empty() && factors[i] != 1) {
      rate *= factors[i];
      require_float32("the learning rate of a step", rate);
    }
    rates.at(i) = static_cast<float>(rate);
  }
  steps_ += steps;
  copy(exec, ConstSpan<float>(rates.data(), count), rates_.as<float>().subspan(0, count));
}

void Optimizer::apply(Exec& exec, std::span<const ConstSpan<float>> gradients, ConstSpan<float> from,
                      const Step::Results& to) const {
  const auto moment = [&](std::size_t index) {
    return index < Step::moments_of(options_.rule) ? moments_.as<float>().subspan(index * size_, size_) : Span<float>();
  };
  const Step::Moments moments{.m = moment(0), .v = moment(1), .vh = moment(2)};
  const Step::Scalars scalars{.beta1 = Step::Decay(options_.beta1),
                              .beta2 = Step::Decay(options_.beta2),
                              .eps = static_cast<float>(options_.eps),
                              .weight_decay = static_cast<float>(options_.weight_decay),
                              .momentum = static_cast<float>(options_.momentum)};
  const Step::Steps steps{.rates = rates_.as<float>().subspan(0, gradients.size()), .g = gradients, .from = from};
  kernels::kernel<Step>(exec, problem(static_cast<int>(gradients.size())), Step::Pass::update)
      ->update(exec, scalars, steps, to, moments);
}

void Optimizer::choose_kernel(Exec& exec, int gradients) const {
  kernels::kernel<Step>(exec, problem(gradients), Step::Pass::update);
}

void update_running_statistics(Exec& exec, ConstSpan<float> batch, Span<float> running, float momentum,
                               kernels::FirstNonFinite non_finite) {
  require<ShapeError>(batch.size() == running.size(), "running statistics: {} batch values, expected {}", batch.size(),
                      running.size());
  if (batch.empty()) return;
  using Average = kernels::RunningAverage;
  const Average::Problem problem{static_cast<std::int64_t>(batch.size())};
  kernels::kernel<Average>(exec, problem, Average::Pass::update)->update(exec, momentum, batch, running, non_finite);
}

}  // namespace apam::engine
