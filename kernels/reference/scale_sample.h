// Sample operands of a scaling: a unit normal vector.
#pragma once

#include "kernels/reference/operand_store.h"
#include "kernels/reference/scale.h"

namespace apam::kernels {

template <>
struct Operands<Scale> {
  using Pass = Scale::Pass;

  Operands(Exec& exec, const Scale::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory), p.type),
        x(store.activations(size)),
        y(store.unwritten_activations(size)) {}

  void run(Exec& exec, Scale::Kernel& kernel, Pass, Write) const { kernel.forward(exec, x, y); }

  Scale::Problem problem;
  std::size_t size;
  OperandStore store;
  Out x, y;  // (size)
};

}  // namespace apam::kernels
