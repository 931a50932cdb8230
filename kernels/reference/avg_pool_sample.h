// Sample operands of average pooling: unit normal images.
#pragma once

#include "kernels/reference/avg_pool.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

template <>
struct Operands<AvgPool> {
  using Pass = AvgPool::Pass;

  Operands(Exec& exec, const AvgPool::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        store(exec, seed, std::move(memory), p.type),
        x(store.activations(p.x_size())),
        dy(store.activations(p.y_size())),
        y(store.unwritten_activations(p.y_size())),
        dx(store.unwritten_activations(p.x_size())) {}

  void run(Exec& exec, AvgPool::Kernel& kernel, Pass pass, Write write) const {
    if (pass == Pass::forward) return kernel.forward(exec, x, y);
    kernel.backward(exec, dy, dx, write);
  }

  AvgPool::Problem problem;
  OperandStore store;
  Out x, dy;  // (N, H, W, C), (N, H / window, W / window, C)
  Out y, dx;  // as dy, x
};

}  // namespace apam::kernels
