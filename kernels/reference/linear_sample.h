// Sample operands of a linear layer: x and dy unit normal, w and b of deviation 1 / sqrt(C).
#pragma once

#include "kernels/reference/linear.h"
#include "kernels/reference/operand_store.h"
#include "kernels/reference/rounded_copy.h"

namespace apam::kernels {

template <>
struct Operands<Linear> {
  using Pass = Linear::Pass;

  Operands(Exec& exec, const Linear::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        store(exec, seed, std::move(memory), p.type),
        x(store.activations(std::size_t(p.n) * p.c)),
        w(store.normal(std::size_t(p.k) * p.c, 1 / std::sqrt(double(p.c)))),
        b(store.normal(std::size_t(p.k), 1 / std::sqrt(double(p.c)))),
        dy(store.activations(std::size_t(p.n) * p.k)),
        y(store.unwritten_activations(dy.size())),
        dx(store.unwritten_activations(x.size())),
        dw(store.unwritten(w.size())),
        db(store.unwritten(b.size())),
        copy(store, exec.device(), p.type, w) {}

  /// After a change of operands.
  void refresh() const { copy.refresh(); }

  void run(Exec& exec, Linear::Kernel& kernel, Pass pass, Write write) const {
    switch (pass) {
      case Pass::forward:
        return kernel.forward(exec, x, copy.weights(), b, y);
      case Pass::backward_input:
        return kernel.backward_input(exec, dy, copy.weights(), dx, write);
      case Pass::backward_weight:
        return kernel.backward_weight(exec, x, dy, dw, db, write);
    }
  }

  Linear::Problem problem;
  OperandStore store;
  Out x;               // (N, C)
  Span<float> w;       // (K, C)
  Span<float> b;       // (K)
  Out dy;              // (N, K)
  Out y, dx;           // as dy, x
  Span<float> dw, db;  // as w, b
  RoundedCopy copy;
};

}  // namespace apam::kernels
