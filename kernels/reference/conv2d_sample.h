// Sample operands of a convolution: x and dy unit normal, w of deviation 1 / sqrt(R S C), so that y is about unit normal too.
#pragma once

#include "kernels/reference/conv2d.h"
#include "kernels/reference/operand_store.h"
#include "kernels/reference/rounded_copy.h"

namespace apam::kernels {

template <>
struct Operands<Conv2d> {
  using Pass = Conv2d::Pass;

  Operands(Exec& exec, const Conv2d::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        store(exec, seed, std::move(memory), p.type),
        x(store.activations(p.x_size())),
        w(store.normal(p.w_size(), 1 / std::sqrt(double(p.r) * p.s * p.c))),
        dy(store.activations(p.y_size())),
        y(store.unwritten_activations(p.y_size())),
        dx(store.unwritten_activations(p.x_size())),
        dw(store.unwritten(p.w_size())),
        copy(store, exec.device(), p.type, w) {}

  /// After a change of operands.
  void refresh() const { copy.refresh(); }

  void run(Exec& exec, Conv2d::Kernel& kernel, Pass pass, Write write) const {
    switch (pass) {
      case Pass::forward:
        return kernel.forward(exec, x, copy.weights(), y);
      case Pass::backward_input:
        return kernel.backward_input(exec, dy, copy.weights(), dx, write);
      case Pass::backward_weight:
        return kernel.backward_weight(exec, x, dy, dw, write);
    }
  }

  Conv2d::Problem problem;
  OperandStore store;
  Out x;           // (N, H, W, C)
  Span<float> w;   // (K, R, S, C)
  Out dy;          // (N, P, Q, K)
  Out y, dx;       // as dy, x
  Span<float> dw;  // as w
  RoundedCopy copy;
};

}  // namespace apam::kernels
