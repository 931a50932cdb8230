// Addition: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/add_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Add>::Rules : Operands<Add> {
  using Operands::Operands;

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const { return {{"y", y}}; }

  std::vector<CheckedInput> inputs(Pass) const { return {{"a", a}, {"b", b}}; }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<double> result(size);
    reference::add_forward(problem, doubles(a).data(), doubles(b).data(), result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return double(problem.size); }

  double bytes(Pass) const { return double(size_of(problem.type)) * 3.0 * double(problem.size); }
};

template class support::KernelCheck<Add>;

template <>
std::vector<cases::Case<Add>> cases::edge_cases<Add>() {
  std::vector<Case<Add>> cases;
  for (const auto length : kEdgeLengths) cases.push_back({fmt::format("edge/{}", length), {length}});
  return cases;
}

}  // namespace apam
