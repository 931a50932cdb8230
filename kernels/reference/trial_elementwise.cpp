// Trials of relu, add and scale, on unit normal vectors.
#include <algorithm>

#include "kernels/reference/add.h"
#include "kernels/reference/relu.h"
#include "kernels/reference/scale.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<Relu>::Operands {
  using Pass = Relu::Pass;

  Operands(Exec& exec, const Relu::Problem& p, std::uint64_t seed)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed),
        x(store.normal(size)),
        dy(store.normal(size)),
        saved_y(store.normal(size)),
        y(store.unwritten(size)),
        dx(store.unwritten(size)) {
    store.edit(saved_y, [](float z, std::size_t) { return std::max(z, 0.0F); });
  }

  void run(Exec& exec, Relu::Kernel& kernel, Pass pass, Write write) const {
    if (pass == Pass::forward) return kernel.forward(exec, x, y);
    kernel.backward(exec, dy, saved_y, dx, write);
  }

  static bool accumulates(Pass pass) { return pass == Pass::backward; }

  std::vector<TrialOutput> outputs(Pass pass) const {
    if (pass == Pass::forward) return {{"y", y, 0}};
    return {{"dx", dx, 0}};
  }

  std::vector<TrialInput> inputs(Pass pass) const {
    if (pass == Pass::forward) return {{"x", x}};
    return {{"dy", dy}, {"y", saved_y}};
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    std::vector<double> result(size);
    if (pass == Pass::forward) {
      reference::relu_forward(problem, doubles(x).data(), result.data());
    } else {
      reference::relu_backward(problem, doubles(dy).data(), doubles(saved_y).data(), result.data(), Write::overwrite);
    }
    return {std::move(result)};
  }

  double flops(Pass) const { return double(problem.size); }
  double bytes(Pass pass) const { return sizeof(float) * (pass == Pass::forward ? 2.0 : 3.0) * double(problem.size); }

  Relu::Problem problem;
  std::size_t size;
  OperandStore store;
  Out x, dy, saved_y, y, dx;  // (size)
};

template <>
struct Trial<Add>::Operands {
  using Pass = Add::Pass;

  Operands(Exec& exec, const Add::Problem& p, std::uint64_t seed)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed),
        a(store.normal(size)),
        b(store.normal(size)),
        y(store.unwritten(size)) {}

  void run(Exec& exec, Add::Kernel& kernel, Pass, Write) const { kernel.forward(exec, a, b, y); }
  static bool accumulates(Pass) { return false; }
  std::vector<TrialOutput> outputs(Pass) const { return {{"y", y}}; }

  std::vector<TrialInput> inputs(Pass) const { return {{"a", a}, {"b", b}}; }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<double> result(size);
    reference::add_forward(problem, doubles(a).data(), doubles(b).data(), result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return double(problem.size); }
  double bytes(Pass) const { return sizeof(float) * 3.0 * double(problem.size); }

  Add::Problem problem;
  std::size_t size;
  OperandStore store;
  Out a, b, y;  // (size)
};

template <>
struct Trial<Scale>::Operands {
  using Pass = Scale::Pass;

  Operands(Exec& exec, const Scale::Problem& p, std::uint64_t seed)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed),
        x(store.normal(size)),
        y(store.unwritten(size)) {}

  void run(Exec& exec, Scale::Kernel& kernel, Pass, Write) const { kernel.forward(exec, x, y); }
  static bool accumulates(Pass) { return false; }
  std::vector<TrialOutput> outputs(Pass) const { return {{"y", y}}; }

  std::vector<TrialInput> inputs(Pass) const { return {{"x", x}}; }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<double> result(size);
    reference::scale_forward(problem, doubles(x).data(), result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return double(problem.size); }
  double bytes(Pass) const { return sizeof(float) * 2.0 * double(problem.size); }

  Scale::Problem problem;
  std::size_t size;
  OperandStore store;
  Out x, y;  // (size)
};

template class Trial<Relu>;
template class Trial<Add>;
template class Trial<Scale>;

}  // namespace apam::kernels
