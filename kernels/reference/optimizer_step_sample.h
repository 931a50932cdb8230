// Sample operands of optimizer steps, as in training: weights around 0.05, gradients and moments around 1e-3. Odd seeds are
// without weight decay.
#pragma once

#include "kernels/reference/non_finite_place.h"
#include "kernels/reference/operand_store.h"
#include "kernels/reference/optimizer_step.h"

namespace apam::kernels {

template <>
struct Operands<OptimizerStep> {
  using Pass = OptimizerStep::Pass;
  using Rule = OptimizerStep::Rule;

  Operands(Exec& exec, const OptimizerStep::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : scalars{.weight_decay = seed % 2 == 0 ? 1e-3F : 0.0F, .momentum = 0.9F},
        problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory)),
        from(store.normal(size, kWeight)),
        w(store.unwritten(size)),
        rates(store.unwritten(static_cast<std::size_t>(p.gradients))),
        m(moment(0)),
        v(moment(1)),
        vh(moment(2)),
        rounded(exec.device().kind == DeviceKind::cuda ? store.unwritten_of(DType::bfloat16, size) : Out()),
        place(exec.device()) {
    // Second moments are positive, and each of v and vh is the larger one somewhere.
    for (const Span<float> second : {v, vh}) store.edit(second, [](float z, std::size_t) { return z * z; });
    store.edit(rates, [](float, std::size_t k) { return rate(k); });
    for (int k = 0; k < p.gradients; ++k) g.push_back(store.normal(size, kGradient));
  }

  /// The moment of this index, if the rule has it.
  Span<float> moment(std::size_t index) {
    return index < OptimizerStep::moments_of(problem.rule) ? store.normal(size, kGradient) : Span<float>();
  }

  void run(Exec& exec, OptimizerStep::Kernel& kernel, Pass, Write) const {
    const std::vector<ConstSpan<float>> gradients(g.begin(), g.end());
    kernel.update(exec, scalars, {.rates = rates, .g = gradients, .from = from},
                  {w, rounded.as<BFloat16>("sample"), place.span()}, {m, v, vh});
  }

  static constexpr double kGradient = 1e-3, kWeight = 0.05;
  /// Of step k = 0, 1, ...: differs from step to step.
  static constexpr float rate(std::size_t k) { return 1e-3F * static_cast<float>(k + 1); }
  OptimizerStep::Scalars scalars;
  OptimizerStep::Problem problem;
  std::size_t size;
  OperandStore store;
  std::vector<Span<float>> g;  // (gradients), each (size)
  Span<float> from, w;         // (size)
  Span<float> rates;           // (gradients)
  Span<float> m, v, vh;        // (size); empty if the rule has none
  Out rounded;                 // (size) bfloat16; empty on the CPU, as in training
  NonFinitePlace place;
};

}  // namespace apam::kernels
