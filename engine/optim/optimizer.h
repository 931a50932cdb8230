// SGD, Adam and AMSGrad over the flat weights: one fused pass an update (kernels/ops/optimizer_step.h has the formulas).
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/ops/kernel.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

struct OptimizerOptions {
  kernels::OptimizerStep::Rule rule = kernels::OptimizerStep::Rule::amsgrad;
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.0;  ///< L2: added to the gradient, times the weights
};

/// "sgd", "adam", "amsgrad". Throws InputError otherwise.
kernels::OptimizerStep::Rule parse_rule(std::string_view text);
std::string_view to_string(kernels::OptimizerStep::Rule rule);

/// Owns the moments of one flat weight vector.
class Optimizer {
 public:
  /// Throws InputError unless learning_rate and eps are positive, betas in [0, 1) and weight_decay not negative, also after
  /// rounding to float32, where none may become a denormal number, and unless every step's rate is a normal number too.
  Optimizer(Device device, std::size_t size, const OptimizerOptions& options);

  /// One update of all weights by one gradient, both (size).
  void step(Exec& exec, In gradients, Out weights);

  /// Chooses the kernel of step(), so that the first step need not.
  void choose_kernel(Exec& exec) const;

  std::int64_t steps() const { return steps_; }
  const OptimizerOptions& options() const { return options_; }

 private:
  kernels::OptimizerStep::Problem problem() const { return {static_cast<std::int64_t>(size_), options_.rule}; }

  OptimizerOptions options_;
  std::size_t size_;
  Buffer moments_;  // [ m | v | vh ], as many as the rule has
  std::int64_t steps_ = 0;
};

/// running += momentum * (batch - running) over the flat statistics: how batch norm's running statistics follow the batches.
void update_running_statistics(Exec& exec, In batch, Out running, float momentum = 0.1F);

}  // namespace apam::engine
