// Sample operands of an addition: unit normal vectors.
#pragma once

#include "kernels/reference/add.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

template <>
struct Operands<Add> {
  using Pass = Add::Pass;

  Operands(Exec& exec, const Add::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory), p.type),
        a(store.activations(size)),
        b(store.activations(size)),
        y(store.unwritten_activations(size)) {}

  void run(Exec& exec, Add::Kernel& kernel, Pass, Write) const { kernel.forward(exec, a, b, y); }

  Add::Problem problem;
  std::size_t size;
  OperandStore store;
  Out a, b, y;  // (size)
};

}  // namespace apam::kernels
