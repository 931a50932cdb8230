// Sample operands of a running average: unit normal vectors.
#pragma once

#include "kernels/reference/non_finite_place.h"
#include "kernels/reference/operand_store.h"
#include "kernels/reference/running_average.h"

namespace apam::kernels {

template <>
struct Operands<RunningAverage> {
  using Pass = RunningAverage::Pass;

  Operands(Exec& exec, const RunningAverage::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory)),
        batch(store.normal(size)),
        running(store.normal(size)),
        place(exec.device()) {}

  void run(Exec& exec, RunningAverage::Kernel& kernel, Pass, Write) const {
    kernel.update(exec, kMomentum, batch, running, place.span());
  }

  static constexpr float kMomentum = 0.1F;
  RunningAverage::Problem problem;
  std::size_t size;
  OperandStore store;
  Span<float> batch, running;  // (size)
  NonFinitePlace place;
};

}  // namespace apam::kernels
