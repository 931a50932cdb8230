// SGD (with momentum), Adam and AMSGrad over the flat weights: one fused pass per update. Formulas:
// kernels/ops/optimizer_step.h.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/optim/rate_schedule.h"
#include "kernels/ops/kernel.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

struct OptimizerOptions {
  kernels::OptimizerStep::Rule rule = kernels::OptimizerStep::Rule::amsgrad;
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.0;  ///< L2: weight_decay * weights is added to the gradient
  double momentum = 0.0;      ///< of the rules momentum and nesterov, above 0; 0 for others
  RateSchedule schedule{};    ///< of the learning rate

  /// The learning rate of update `update` = 1, 2, ..., before the bias correction of adam and amsgrad.
  double rate(std::int64_t update) const { return learning_rate * schedule.factor(update); }
};

/// Parses the name of a rule. Throws InputError otherwise.
kernels::OptimizerStep::Rule parse_rule(std::string_view text);
std::string_view to_string(kernels::OptimizerStep::Rule rule);

/// Whether a rule is one of SGD with momentum.
constexpr bool has_momentum(kernels::OptimizerStep::Rule rule) {
  return rule == kernels::OptimizerStep::Rule::momentum || rule == kernels::OptimizerStep::Rule::nesterov;
}

/// Owns the moments of a flat weight vector.
class Optimizer {
 public:
  /// Throws InputError unless learning_rate > 0, eps > 0, both betas are in [0, 1), weight_decay >= 0, momentum is in (0, 1) if
  /// the rule has it and else 0, and the schedule is valid. This must hold after rounding to float32 too, without denormal
  /// numbers, and the learning rate of every step must be a normal number.
  Optimizer(Device device, std::size_t size, const OptimizerOptions& options);

  static constexpr int kMostGradients = kernels::OptimizerStep::kMostGradients;

  /// One update of all weights by one gradient, both (size). Weights are a span, or with more that the pass writes: their copy
  /// in bfloat16 (size), and the place of the first that is not finite.
  void step(Exec& exec, ConstSpan<float> gradients, const kernels::OptimizerStep::Results& weights);
  /// One update per gradient, in order, in one pass over memory; the same bits as step() for each. 1 to kMostGradients
  /// gradients, each (size). Reads `from` and writes `to`, both (size): the same memory, or apart. `factors`: see advance().
  void step_each(Exec& exec, std::span<const ConstSpan<float>> gradients, ConstSpan<float> from,
                 const kernels::OptimizerStep::Results& to, std::span<const double> factors = {});

  /// Counts 1 to kMostGradients steps and puts their rates where apply() reads them, each times its factor; without factors, as
  /// they are. Throws InputError for another number of factors, and one that is not above 0 or makes the rate denormal.
  void advance(Exec& exec, int steps = 1, std::span<const double> factors = {});
  /// Computes the steps. Its arguments are the same in every step, so a captured apply() can be replayed after advance().
  void apply(Exec& exec, std::span<const ConstSpan<float>> gradients, ConstSpan<float> from,
             const kernels::OptimizerStep::Results& to) const;

  /// Selects the kernel of updates by this many gradients at once ahead of the first.
  void choose_kernel(Exec& exec, int gradients = 1) const;

  std::int64_t steps() const { return steps_; }
  /// [ m | v | vh ], each (size): Adam has m and v, SGD with momentum m, SGD without none. Zero before the first step.
  Span<float> moments() const { return moments_.as<float>(); }
  /// Continues a training: `steps` have been made, and the caller has put their moments into moments(). Throws InputError for a
  /// negative number.
  void resume(std::int64_t steps);
  const OptimizerOptions& options() const { return options_; }

 private:
  kernels::OptimizerStep::Problem problem(int gradients) const {
    return {static_cast<std::int64_t>(size_), options_.rule, gradients};
  }

  OptimizerOptions options_;
  std::size_t size_;
  Buffer moments_;
  Buffer rates_;  // (kMostGradients)
  std::int64_t steps_ = 0;
};

/// Updates batch norm's running statistics: running += momentum * (batch - running), over the flat spans.
void update_running_statistics(Exec& exec, ConstSpan<float> batch, Span<float> running, float momentum = 0.1F,
                               kernels::FirstNonFinite non_finite = {});

}  // namespace apam::engine
