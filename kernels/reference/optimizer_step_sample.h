// Sample operands of an optimizer step, as in training: weights around 0.05, gradients and moments around 1e-3.
#pragma once

#include "kernels/reference/operand_store.h"
#include "kernels/reference/optimizer_step.h"

namespace apam::kernels {

template <>
struct Operands<OptimizerStep> {
  using Pass = OptimizerStep::Pass;
  using Rule = OptimizerStep::Rule;

  Operands(Exec& exec, const OptimizerStep::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory)),
        g(store.normal(size, kGradient)),
        w(store.normal(size, kWeight)),
        rate(store.unwritten(1)),
        m(moment(p.rule != Rule::sgd)),
        v(moment(p.rule != Rule::sgd)),
        vh(moment(p.rule == Rule::amsgrad)) {
    // Second moments are positive, and each of v and vh is the larger one somewhere.
    for (const Span<float> second : {v, vh}) store.edit(second, [](float z, std::size_t) { return z * z; });
    store.edit(rate, [](float, std::size_t) { return kRate; });
  }

  Span<float> moment(bool used) { return used ? store.normal(size, kGradient) : Span<float>(); }

  void run(Exec& exec, OptimizerStep::Kernel& kernel, Pass, Write) const {
    kernel.update(exec, scalars, rate, g, w, {m, v, vh});
  }

  static constexpr double kGradient = 1e-3, kWeight = 0.05;
  static constexpr float kRate = 1e-3F;
  static constexpr OptimizerStep::Scalars scalars{.weight_decay = 1e-3F};
  OptimizerStep::Problem problem;
  std::size_t size;
  OperandStore store;
  Span<float> g, w;      // (size)
  Span<float> rate;      // (1)
  Span<float> m, v, vh;  // (size); empty if the rule has none
};

}  // namespace apam::kernels
