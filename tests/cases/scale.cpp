// Scaling: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/scale_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Scale>::Rules : Operands<Scale> {
  using Operands::Operands;

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const { return {{"y", y}}; }

  std::vector<CheckedInput> inputs(Pass) const { return {{"x", x}}; }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<double> result(size);
    reference::scale_forward(problem, doubles(x).data(), result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return double(problem.size); }

  double bytes(Pass) const { return double(size_of(problem.type)) * 2.0 * double(problem.size); }
};

template class support::KernelCheck<Scale>;

template <>
std::vector<cases::Case<Scale>> cases::edge_cases<Scale>() {
  std::vector<Case<Scale>> cases;
  for (const auto length : kEdgeLengths) cases.push_back({fmt::format("edge/{}", length), {length, -1.7F}});
  return cases;
}

}  // namespace apam
