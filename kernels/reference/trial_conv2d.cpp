// Trial<Conv2d>: x and dy unit normal, w of deviation 1 / sqrt(R S C), so that y is about unit normal again.
#include <cmath>

#include "kernels/reference/conv2d.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<Conv2d>::Operands {
  using Pass = Conv2d::Pass;

  Operands(Exec& exec, const Conv2d::Problem& p, std::uint64_t seed)
      : problem(p),
        store(exec, seed),
        x(store.normal(p.x_size())),
        w(store.normal(p.w_size(), 1 / std::sqrt(double(p.r) * p.s * p.c))),
        dy(store.normal(p.y_size())),
        y(store.unwritten(p.y_size())),
        dx(store.unwritten(p.x_size())),
        dw(store.unwritten(p.w_size())) {}

  void run(Exec& exec, Conv2d::Kernel& kernel, Pass pass, Write write) const {
    switch (pass) {
      case Pass::forward:
        return kernel.forward(exec, x, w, y);
      case Pass::backward_input:
        return kernel.backward_input(exec, dy, w, dx, write);
      case Pass::backward_weight:
        return kernel.backward_weight(exec, x, dy, dw, write);
    }
  }

  static bool accumulates(Pass pass) { return pass != Pass::forward; }

  /// Magnitudes: a sum of n products of either sign is sqrt(n) times as large as one of them.
  std::vector<TrialOutput> outputs(Pass pass) const {
    const std::int64_t taps = std::int64_t(problem.r) * problem.s;
    const std::int64_t pixels = std::int64_t(problem.n) * problem.out_h() * problem.out_w();
    switch (pass) {
      case Pass::forward:
        return {{"y", y, taps * problem.c, 1}};
      case Pass::backward_input:  // a pixel meets about one in stride^2 taps
        return {{"dx", dx, taps * problem.k, std::sqrt(double(problem.k) / problem.c) / problem.stride}};
      case Pass::backward_weight:
        return {{"dw", dw, pixels, std::sqrt(double(pixels))}};
    }
    return {};
  }

  std::vector<TrialInput> inputs(Pass pass) const {
    switch (pass) {
      case Pass::forward:
        return {{"x", x}, {"w", w}};
      case Pass::backward_input:
        return {{"dy", dy}, {"w", w}};
      case Pass::backward_weight:
        return {{"x", x}, {"dy", dy}};
    }
    return {};
  }

  /// Images reach their images; filters and channels, the elements that have them.
  std::vector<Reached> reached(Pass pass) const {
    const auto last = [](In operand, int channels) { return any_of_last(extremes(operand), std::size_t(channels)); };
    const auto first = [](In operand, int images) { return any_of_first(extremes(operand), std::size_t(images)); };
    switch (pass) {
      case Pass::forward:
        return {spread(y.size(), first(x, problem.n), first(w, problem.k))};
      case Pass::backward_input:
        return {spread(dx.size(), first(dy, problem.n), last(w, problem.c))};
      case Pass::backward_weight:
        return {spread(dw.size(), last(dy, problem.k), last(x, problem.c))};
    }
    return {};
  }

  /// Whether any element at each first, or each last, index is marked.
  static Reached any_of_first(const Reached& marks, std::size_t extent) {
    Reached any(extent);
    for (std::size_t e = 0; e < marks.size(); ++e)
      any[e / (marks.size() / extent)] = any[e / (marks.size() / extent)] || marks[e];
    return any;
  }
  static Reached any_of_last(const Reached& marks, std::size_t extent) {
    Reached any(extent);
    for (std::size_t e = 0; e < marks.size(); ++e) any[e % extent] = any[e % extent] || marks[e];
    return any;
  }
  /// The elements of an output whose first or last index is marked.
  static Reached spread(std::size_t size, const Reached& first, const Reached& last) {
    Reached all(size);
    for (std::size_t e = 0; e < size; ++e) all[e] = first[e / (size / first.size())] || last[e % last.size()];
    return all;
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    std::vector<double> result(outputs(pass).front().values.size());
    switch (pass) {
      case Pass::forward:
        reference::conv2d_forward(problem, doubles(x).data(), doubles(w).data(), result.data());
        break;
      case Pass::backward_input:
        reference::conv2d_backward_input(problem, doubles(dy).data(), doubles(w).data(), result.data(), Write::overwrite);
        break;
      case Pass::backward_weight:
        reference::conv2d_backward_weight(problem, doubles(x).data(), doubles(dy).data(), result.data(), Write::overwrite);
        break;
    }
    return {std::move(result)};
  }

  double flops(Pass) const { return problem.flops(); }
  double bytes(Pass) const { return sizeof(float) * double(x.size() + w.size() + y.size()); }

  Conv2d::Problem problem;
  OperandStore store;
  Out x;          // (N, H, W, C)
  Out w;          // (K, R, S, C)
  Out dy;         // (N, P, Q, K)
  Out y, dx, dw;  // as dy, x, w
};

template class Trial<Conv2d>;

}  // namespace apam::kernels
