// Conversion between types: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/convert_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Convert>::Rules : Operands<Convert> {
  using Operands::Operands;

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const { return {{"y", y, 0}}; }

  std::vector<CheckedInput> inputs(Pass) const { return {{"x", x}}; }

  std::vector<std::vector<double>> expected(Pass) const { return {doubles(x)}; }

  double flops(Pass) const { return double(problem.size); }

  double bytes(Pass) const { return double(x.size_bytes() + y.size_bytes()); }
};

template class support::KernelCheck<Convert>;

template <>
std::vector<cases::Case<Convert>> cases::edge_cases<Convert>() {
  std::vector<Case<Convert>> cases;
  for (const auto length : kEdgeLengths) {
    cases.push_back({fmt::format("edge/{}_to_bfloat16", length), {length, DType::float32, DType::bfloat16}});
    cases.push_back({fmt::format("edge/{}_to_float32", length), {length, DType::bfloat16, DType::float32}});
  }
  return cases;
}

}  // namespace apam
