// Trial<AvgPool>, on unit normal images.
#include "kernels/reference/avg_pool.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<AvgPool>::Operands {
  using Pass = AvgPool::Pass;

  Operands(Exec& exec, const AvgPool::Problem& p, std::uint64_t seed)
      : problem(p),
        store(exec, seed),
        x(store.normal(p.x_size())),
        dy(store.normal(p.y_size())),
        y(store.unwritten(p.y_size())),
        dx(store.unwritten(p.x_size())) {}

  void run(Exec& exec, AvgPool::Kernel& kernel, Pass pass, Write write) const {
    if (pass == Pass::forward) return kernel.forward(exec, x, y);
    kernel.backward(exec, dy, dx, write);
  }

  static bool accumulates(Pass pass) { return pass == Pass::backward; }

  std::vector<TrialOutput> outputs(Pass pass) const {
    // The mean of window^2 numbers of size 1 and of either sign is of size 1 / window.
    if (pass == Pass::forward) return {{"y", y, std::int64_t(problem.window) * problem.window, 1.0 / problem.window}};
    return {{"dx", dx}};
  }

  std::vector<TrialInput> inputs(Pass pass) const {
    if (pass == Pass::forward) return {{"x", x}};
    return {{"dy", dy}};
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    std::vector<double> result(pass == Pass::forward ? y.size() : dx.size());
    if (pass == Pass::forward) {
      reference::avg_pool_forward(problem, doubles(x).data(), result.data());
    } else {
      reference::avg_pool_backward(problem, doubles(dy).data(), result.data(), Write::overwrite);
    }
    return {std::move(result)};
  }

  double flops(Pass) const { return double(problem.x_size()); }
  double bytes(Pass) const { return sizeof(float) * double(problem.x_size() + problem.y_size()); }

  AvgPool::Problem problem;
  OperandStore store;
  Out x, dy;  // (N, H, W, C), (N, H / window, W / window, C)
  Out y, dx;  // as dy, x
};

template class Trial<AvgPool>;

}  // namespace apam::kernels
