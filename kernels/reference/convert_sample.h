// Sample operands of a conversion: a unit normal vector.
#pragma once

#include "kernels/reference/convert.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

template <>
struct Operands<Convert> {
  using Pass = Convert::Pass;

  Operands(Exec& exec, const Convert::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory)),
        x(store.normal_of(p.from, size)),
        y(store.unwritten_of(p.to, size)) {}

  void run(Exec& exec, Convert::Kernel& kernel, Pass, Write) const { kernel.forward(exec, x, y); }

  Convert::Problem problem;
  std::size_t size;
  OperandStore store;
  Out x, y;  // (size)
};

}  // namespace apam::kernels
