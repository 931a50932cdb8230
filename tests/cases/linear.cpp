// Linear layer: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/linear_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Linear>::Rules : Operands<Linear> {
  using Operands::Operands;

  static bool accumulates(Pass pass) { return pass != Pass::forward; }

  /// Magnitudes: a sum of n products of mixed signs is sqrt(n) times as large as one of them.
  std::vector<CheckedOutput> outputs(Pass pass) const {
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

  std::vector<CheckedInput> inputs(Pass pass) const {
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
    const auto xs = doubles(x), ws = weight_doubles(w, problem.type), dys = doubles(dy);
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

  double bytes(Pass) const { return double(x.size_bytes() + w.size_bytes() + y.size_bytes()); }
};

template class support::KernelCheck<Linear>;

template <>
std::vector<cases::Case<Linear>> cases::edge_cases<Linear>() {
  return {
      {"edge/1x1", {.n = 1, .c = 1, .k = 1}},          {"edge/batch_1", {.n = 1, .c = 512, .k = 10}},
      {"edge/one_output", {.n = 9, .c = 33, .k = 1}},  {"edge/one_input", {.n = 9, .c = 1, .k = 33}},
      {"edge/odd", {.n = 7, .c = 19, .k = 13}},        {"edge/off_by_one", {.n = 17, .c = 65, .k = 33}},
      {"edge/many_rows", {.n = 301, .c = 24, .k = 5}},
  };
}

}  // namespace apam
