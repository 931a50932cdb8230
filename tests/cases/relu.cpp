// ReLU: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/relu_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Relu>::Rules : Operands<Relu> {
  using Operands::Operands;

  static bool accumulates(Pass pass) { return pass == Pass::backward; }

  std::vector<CheckedOutput> outputs(Pass pass) const {
    if (pass == Pass::forward) return {{"y", y, 0}};
    return {{"dx", dx, 0}};
  }

  std::vector<CheckedInput> inputs(Pass pass) const {
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

  double bytes(Pass pass) const {
    return double(size_of(problem.type)) * (pass == Pass::forward ? 2.0 : 3.0) * double(problem.size);
  }
};

template class support::KernelCheck<Relu>;

template <>
std::vector<cases::Case<Relu>> cases::edge_cases<Relu>() {
  std::vector<Case<Relu>> cases;
  for (const auto length : kEdgeLengths) cases.push_back({fmt::format("edge/{}", length), {length}});
  return cases;
}

}  // namespace apam
