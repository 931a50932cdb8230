// Average pooling: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/avg_pool_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<AvgPool>::Rules : Operands<AvgPool> {
  using Operands::Operands;

  static bool accumulates(Pass pass) { return pass == Pass::backward; }

  std::vector<CheckedOutput> outputs(Pass pass) const {
    // The mean of window^2 numbers of size 1 and mixed signs is of size 1 / window.
    if (pass == Pass::forward) return {{"y", y, std::int64_t(problem.window) * problem.window, 1.0 / problem.window}};
    return {{"dx", dx}};
  }

  std::vector<CheckedInput> inputs(Pass pass) const {
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

  double bytes(Pass) const { return double(size_of(problem.type)) * double(problem.x_size() + problem.y_size()); }
};

template class support::KernelCheck<AvgPool>;

template <>
std::vector<cases::Case<AvgPool>> cases::edge_cases<AvgPool>() {
  return {
      {"edge/one_pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .window = 1}},
      {"edge/window_1", {.n = 2, .h = 3, .w = 5, .c = 7, .window = 1}},
      {"edge/2x2", {.n = 2, .h = 6, .w = 4, .c = 17, .window = 2}},
      {"edge/rest_is_dropped", {.n = 3, .h = 7, .w = 5, .c = 9, .window = 2}},
      {"edge/3x3_of_8x10", {.n = 1, .h = 8, .w = 10, .c = 16, .window = 3}},
      {"edge/whole_odd_image", {.n = 5, .h = 7, .w = 7, .c = 3, .window = 7}},
      {"edge/10_channels", {.n = 1, .h = 6, .w = 6, .c = 10, .window = 6}},
  };
}

}  // namespace apam
