// Trial<Linear>: x and dy unit normal, w and b of deviation 1 / sqrt(C).
#include <cmath>

#include "kernels/reference/linear.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<Linear>::Operands {
  using Pass = Linear::Pass;

  Operands(Exec& exec, const Linear::Problem& p, std::uint64_t seed)
      : problem(p),
        store(exec, seed),
        x(store.normal(std::size_t(p.n) * p.c)),
        w(store.normal(std::size_t(p.k) * p.c, 1 / std::sqrt(double(p.c)))),
        b(store.normal(std::size_t(p.k), 1 / std::sqrt(double(p.c)))),
        dy(store.normal(std::size_t(p.n) * p.k)),
        y(store.unwritten(dy.size())),
        dx(store.unwritten(x.size())),
        dw(store.unwritten(w.size())),
        db(store.unwritten(b.size())) {}

  void run(Exec& exec, Linear::Kernel& kernel, Pass pass, Write write) const {
    switch (pass) {
      case Pass::forward:
        return kernel.forward(exec, x, w, b, y);
      case Pass::backward_input:
        return kernel.backward_input(exec, dy, w, dx, write);
      case Pass::backward_weight:
        return kernel.backward_weight(exec, x, dy, dw, db, write);
    }
  }

  static bool accumulates(Pass pass) { return pass != Pass::forward; }

  /// Magnitudes: a sum of n products of either sign is sqrt(n) times as large as one of them.
  std::vector<TrialOutput> outputs(Pass pass) const {
    const double sum = std::sqrt(double(problem.n));
    switch (pass) {
      case Pass::forward:
        return {{"y", y, problem.c + 1, 1}};
      case Pass::backward_input:
        return {{"dx", dx, problem.k, std::sqrt(double(problem.k) / problem.c)}};
      case Pass::backward_weight:
        return {{"dw", dw, problem.n, sum}, {"db", db, problem.n, sum}};
    }
    return {};
  }

  std::vector<TrialInput> inputs(Pass pass) const {
    switch (pass) {
      case Pass::forward:
        return {{"x", x}, {"w", w}, {"b", b}};
      case Pass::backward_input:
        return {{"dy", dy}, {"w", w}};
      case Pass::backward_weight:
        return {{"x", x}, {"dy", dy}};
    }
    return {};
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    const auto xs = doubles(x), ws = doubles(w), dys = doubles(dy);
    std::vector<double> first(outputs(pass).front().values.size()), second(db.size());
    switch (pass) {
      case Pass::forward:
        reference::linear_forward(problem, xs.data(), ws.data(), doubles(b).data(), first.data());
        return {first};
      case Pass::backward_input:
        reference::linear_backward_input(problem, dys.data(), ws.data(), first.data(), Write::overwrite);
        return {first};
      case Pass::backward_weight:
        reference::linear_backward_weight(problem, xs.data(), dys.data(), first.data(), second.data(), Write::overwrite);
        return {first, second};
    }
    return {};
  }

  double flops(Pass) const { return problem.flops(); }
  double bytes(Pass) const { return sizeof(float) * double(x.size() + w.size() + y.size()); }

  Linear::Problem problem;
  OperandStore store;
  Out x;              // (N, C)
  Out w;              // (K, C)
  Out b;              // (K)
  Out dy;             // (N, K)
  Out y, dx, dw, db;  // as dy, x, w, b
};

template class Trial<Linear>;

}  // namespace apam::kernels
