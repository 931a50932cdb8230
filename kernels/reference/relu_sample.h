// Sample operands of relu: unit normal vectors.
#pragma once

#include "kernels/reference/operand_store.h"
#include "kernels/reference/relu.h"

namespace apam::kernels {

template <>
struct Operands<Relu> {
  using Pass = Relu::Pass;

  Operands(Exec& exec, const Relu::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed, std::move(memory), p.type),
        x(store.activations(size)),
        dy(store.activations(size)),
        saved_y(store.activations(size)),
        y(store.unwritten_activations(size)),
        dx(store.unwritten_activations(size)) {
    store.edit(saved_y, [](float z, std::size_t) { return std::max(z, 0.0F); });
  }

  void run(Exec& exec, Relu::Kernel& kernel, Pass pass, Write write) const {
    if (pass == Pass::forward) return kernel.forward(exec, x, y);
    kernel.backward(exec, dy, saved_y, dx, write);
  }

  Relu::Problem problem;
  std::size_t size;
  OperandStore store;
  Out x, dy, saved_y, y, dx;  // (size)
};

}  // namespace apam::kernels
