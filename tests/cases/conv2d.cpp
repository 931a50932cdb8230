// Convolution: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/conv2d_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Conv2d>::Rules : Operands<Conv2d> {
  using Operands::Operands;

  static bool accumulates(Pass pass) { return pass != Pass::forward; }

  /// Magnitudes: a sum of n products of mixed signs is sqrt(n) times as large as one of them.
  std::vector<CheckedOutput> outputs(Pass pass) const {
    const std::int64_t taps = std::int64_t(problem.r) * problem.s;
    const std::int64_t pixels = std::int64_t(problem.n) * problem.out_h() * problem.out_w();
    switch (pass) {
      case Pass::forward:
        return {{"y", y, taps * problem.c, 1}};
      case Pass::backward_input:  // a pixel meets one tap in about stride^2
        return {{"dx", dx, taps * problem.k, std::sqrt(double(problem.k) / problem.c) / problem.stride}};
      case Pass::backward_weight:
        return {{"dw", dw, pixels, std::sqrt(double(pixels))}};
    }
    return {};
  }

  std::vector<CheckedInput> inputs(Pass pass) const {
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

  /// An image reaches its image in the output; a filter or channel, the elements that have it.
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

  /// Per first (last) index: whether any element there is marked.
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
        reference::conv2d_forward(problem, doubles(x).data(), weight_doubles(w, problem.type).data(), result.data());
        break;
      case Pass::backward_input:
        reference::conv2d_backward_input(problem, doubles(dy).data(), weight_doubles(w, problem.type).data(), result.data(),
                                         Write::overwrite);
        break;
      case Pass::backward_weight:
        reference::conv2d_backward_weight(problem, doubles(x).data(), doubles(dy).data(), result.data(), Write::overwrite);
        break;
    }
    return {std::move(result)};
  }

  double flops(Pass) const { return problem.flops(); }

  double bytes(Pass) const { return double(x.size_bytes() + w.size_bytes() + y.size_bytes()); }
};

template class support::KernelCheck<Conv2d>;

template <>
std::vector<cases::Case<Conv2d>> cases::edge_cases<Conv2d>() {
  return {
      {"edge/one_pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1}},
      {"edge/1x1", {.n = 2, .h = 7, .w = 5, .c = 9, .k = 11, .r = 1, .s = 1}},
      {"edge/1x1_stride_2", {.n = 2, .h = 8, .w = 8, .c = 24, .k = 40, .r = 1, .s = 1, .stride = 2}},
      {"edge/1x1_stride_2_odd_image", {.n = 3, .h = 7, .w = 9, .c = 5, .k = 6, .r = 1, .s = 1, .stride = 2}},
      {"edge/1x1_padded", {.n = 2, .h = 4, .w = 5, .c = 8, .k = 3, .r = 1, .s = 1, .padding = 1}},
      {"edge/3_channels", {.n = 1, .h = 9, .w = 9, .c = 3, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"edge/10_filters", {.n = 2, .h = 6, .w = 6, .c = 32, .k = 10, .r = 3, .s = 3, .padding = 1}},
      {"edge/odd_everything", {.n = 3, .h = 13, .w = 11, .c = 7, .k = 5, .r = 3, .s = 3, .padding = 1}},
      {"edge/wide_image", {.n = 2, .h = 3, .w = 37, .c = 16, .k = 8, .r = 3, .s = 3, .padding = 1}},
      {"edge/tall_image", {.n = 2, .h = 37, .w = 3, .c = 8, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"edge/stride_2_odd_image", {.n = 2, .h = 15, .w = 9, .c = 20, .k = 12, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"edge/stride_2_unpadded", {.n = 2, .h = 9, .w = 12, .c = 8, .k = 24, .r = 3, .s = 3, .stride = 2}},
      {"edge/stride_3_skips_pixels", {.n = 2, .h = 11, .w = 11, .c = 4, .k = 8, .r = 2, .s = 2, .stride = 3}},
      {"edge/5x5_window", {.n = 2, .h = 12, .w = 10, .c = 6, .k = 9, .r = 5, .s = 5, .padding = 2}},
      {"edge/5x5_stride_2", {.n = 1, .h = 16, .w = 16, .c = 8, .k = 8, .r = 5, .s = 5, .stride = 2, .padding = 2}},
      {"edge/3x3_padding_2", {.n = 1, .h = 5, .w = 6, .c = 8, .k = 8, .r = 3, .s = 3, .padding = 2}},
      {"edge/1x3_window", {.n = 2, .h = 6, .w = 7, .c = 10, .k = 14, .r = 1, .s = 3}},
      {"edge/window_as_large_as_image", {.n = 4, .h = 4, .w = 4, .c = 19, .k = 21, .r = 4, .s = 4}},
      {"edge/window_larger_than_image", {.n = 2, .h = 2, .w = 2, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"edge/17_channels_33_filters", {.n = 2, .h = 8, .w = 8, .c = 17, .k = 33, .r = 3, .s = 3, .padding = 1}},
      {"edge/one_filter", {.n = 2, .h = 8, .w = 8, .c = 16, .k = 1, .r = 3, .s = 3, .padding = 1}},
      {"edge/one_channel", {.n = 2, .h = 28, .w = 28, .c = 1, .k = 32, .r = 3, .s = 3, .padding = 1}},
      {"edge/many_small_images", {.n = 33, .h = 4, .w = 4, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"edge/stride_3_odd_image", {.n = 3, .h = 13, .w = 10, .c = 8, .k = 8, .r = 3, .s = 3, .stride = 3, .padding = 1}},
      {"edge/one_output_pixel_per_image", {.n = 37, .h = 3, .w = 3, .c = 8, .k = 16, .r = 3, .s = 3}},
      {"edge/aligned_window_as_large_as_image", {.n = 5, .h = 5, .w = 3, .c = 8, .k = 8, .r = 5, .s = 3, .padding = 1}},
      {"edge/3_channels_wide_window", {.n = 2, .h = 7, .w = 9, .c = 3, .k = 8, .r = 2, .s = 5, .stride = 2, .padding = 2}},
      {"edge/batch_1_wide_channels", {.n = 1, .h = 4, .w = 4, .c = 136, .k = 264, .r = 3, .s = 3, .padding = 1}},
  };
}

}  // namespace apam
