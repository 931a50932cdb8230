#include "tests/cases/cases.h"

namespace apam::cases {
namespace {

using namespace kernels;

/// Lengths around those of registers, cache lines and thread shares.
constexpr std::int64_t kLengths[] = {1, 7, 16, 17, 1000, 4099, 65537};

}  // namespace

template <>
std::vector<Case<Conv2d>> awkward_cases<Conv2d>() {
  return {
      {"awkward/one_pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1}},
      {"awkward/1x1", {.n = 2, .h = 7, .w = 5, .c = 9, .k = 11, .r = 1, .s = 1}},
      {"awkward/1x1_stride_2", {.n = 2, .h = 8, .w = 8, .c = 24, .k = 40, .r = 1, .s = 1, .stride = 2}},
      {"awkward/1x1_stride_2_odd_image", {.n = 3, .h = 7, .w = 9, .c = 5, .k = 6, .r = 1, .s = 1, .stride = 2}},
      {"awkward/1x1_padded", {.n = 2, .h = 4, .w = 5, .c = 8, .k = 3, .r = 1, .s = 1, .padding = 1}},
      {"awkward/3_channels", {.n = 1, .h = 9, .w = 9, .c = 3, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"awkward/10_filters", {.n = 2, .h = 6, .w = 6, .c = 32, .k = 10, .r = 3, .s = 3, .padding = 1}},
      {"awkward/odd_everything", {.n = 3, .h = 13, .w = 11, .c = 7, .k = 5, .r = 3, .s = 3, .padding = 1}},
      {"awkward/wide_image", {.n = 2, .h = 3, .w = 37, .c = 16, .k = 8, .r = 3, .s = 3, .padding = 1}},
      {"awkward/tall_image", {.n = 2, .h = 37, .w = 3, .c = 8, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"awkward/stride_2_odd_image", {.n = 2, .h = 15, .w = 9, .c = 20, .k = 12, .r = 3, .s = 3, .stride = 2, .padding = 1}},
      {"awkward/stride_2_unpadded", {.n = 2, .h = 9, .w = 12, .c = 8, .k = 24, .r = 3, .s = 3, .stride = 2}},
      {"awkward/stride_3_skips_pixels", {.n = 2, .h = 11, .w = 11, .c = 4, .k = 8, .r = 2, .s = 2, .stride = 3}},
      {"awkward/5x5_window", {.n = 2, .h = 12, .w = 10, .c = 6, .k = 9, .r = 5, .s = 5, .padding = 2}},
      {"awkward/5x5_stride_2", {.n = 1, .h = 16, .w = 16, .c = 8, .k = 8, .r = 5, .s = 5, .stride = 2, .padding = 2}},
      {"awkward/3x3_padding_2", {.n = 1, .h = 5, .w = 6, .c = 8, .k = 8, .r = 3, .s = 3, .padding = 2}},
      {"awkward/1x3_window", {.n = 2, .h = 6, .w = 7, .c = 10, .k = 14, .r = 1, .s = 3}},
      {"awkward/window_as_large_as_image", {.n = 4, .h = 4, .w = 4, .c = 19, .k = 21, .r = 4, .s = 4}},
      {"awkward/window_larger_than_image", {.n = 2, .h = 2, .w = 2, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"awkward/17_channels_33_filters", {.n = 2, .h = 8, .w = 8, .c = 17, .k = 33, .r = 3, .s = 3, .padding = 1}},
      {"awkward/one_filter", {.n = 2, .h = 8, .w = 8, .c = 16, .k = 1, .r = 3, .s = 3, .padding = 1}},
      {"awkward/one_channel", {.n = 2, .h = 28, .w = 28, .c = 1, .k = 32, .r = 3, .s = 3, .padding = 1}},
      {"awkward/many_small_images", {.n = 33, .h = 4, .w = 4, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1}},
      {"awkward/batch_1_wide_channels", {.n = 1, .h = 4, .w = 4, .c = 136, .k = 264, .r = 3, .s = 3, .padding = 1}},
  };
}

template <>
std::vector<Case<BatchNorm>> awkward_cases<BatchNorm>() {
  std::vector<Case<BatchNorm>> cases;
  const struct {
    const char* name;
    int rows, c;
  } shapes[] = {{"one_row", 1, 20},
                {"one_channel", 33, 1},
                {"3_channels", 49, 3},
                {"10_channels", 72, 10},
                {"odd", 135, 7},
                {"17_channels", 1001, 17},
                {"few_rows_many_channels", 11, 515},
                {"many_rows", 20011, 5}};
  for (const auto& shape : shapes) {
    for (const bool residual : {false, true}) {
      for (const bool relu : {false, true}) {
        cases.push_back({fmt::format("awkward/{}{}{}", shape.name, residual ? "_residual" : "", relu ? "_relu" : ""),
                         {shape.rows, shape.c, residual, relu}});
      }
    }
  }
  cases.push_back({"awkward/large_eps", {64, 24, false, true, 0.5F}});
  return cases;
}

template <>
std::vector<Case<Relu>> awkward_cases<Relu>() {
  std::vector<Case<Relu>> cases;
  for (const auto length : kLengths) cases.push_back({fmt::format("awkward/{}", length), {length}});
  return cases;
}

template <>
std::vector<Case<Add>> awkward_cases<Add>() {
  std::vector<Case<Add>> cases;
  for (const auto length : kLengths) cases.push_back({fmt::format("awkward/{}", length), {length}});
  return cases;
}

template <>
std::vector<Case<Scale>> awkward_cases<Scale>() {
  std::vector<Case<Scale>> cases;
  for (const auto length : kLengths) cases.push_back({fmt::format("awkward/{}", length), {length, -1.7F}});
  return cases;
}

template <>
std::vector<Case<AvgPool>> awkward_cases<AvgPool>() {
  return {
      {"awkward/one_pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .window = 1}},
      {"awkward/window_1", {.n = 2, .h = 3, .w = 5, .c = 7, .window = 1}},
      {"awkward/2x2", {.n = 2, .h = 6, .w = 4, .c = 17, .window = 2}},
      {"awkward/rest_is_dropped", {.n = 3, .h = 7, .w = 5, .c = 9, .window = 2}},
      {"awkward/3x3_of_8x10", {.n = 1, .h = 8, .w = 10, .c = 16, .window = 3}},
      {"awkward/whole_odd_image", {.n = 5, .h = 7, .w = 7, .c = 3, .window = 7}},
      {"awkward/10_channels", {.n = 1, .h = 6, .w = 6, .c = 10, .window = 6}},
  };
}

template <>
std::vector<Case<Linear>> awkward_cases<Linear>() {
  return {
      {"awkward/1x1", {.n = 1, .c = 1, .k = 1}},          {"awkward/batch_1", {.n = 1, .c = 512, .k = 10}},
      {"awkward/one_output", {.n = 9, .c = 33, .k = 1}},  {"awkward/one_input", {.n = 9, .c = 1, .k = 33}},
      {"awkward/odd", {.n = 7, .c = 19, .k = 13}},        {"awkward/off_by_one", {.n = 17, .c = 65, .k = 33}},
      {"awkward/many_rows", {.n = 301, .c = 24, .k = 5}},
  };
}

template <>
std::vector<Case<SoftmaxCrossEntropy>> awkward_cases<SoftmaxCrossEntropy>() {
  return {
      {"awkward/one_class", {.n = 3, .classes = 1}},   {"awkward/2_classes", {.n = 5, .classes = 2}},
      {"awkward/batch_1", {.n = 1, .classes = 10}},    {"awkward/odd", {.n = 33, .classes = 7}},
      {"awkward/17_classes", {.n = 4, .classes = 17}}, {"awkward/many_rows", {.n = 1025, .classes = 11}},
  };
}

template <>
std::vector<Case<OptimizerStep>> awkward_cases<OptimizerStep>() {
  using Rule = OptimizerStep::Rule;
  std::vector<Case<OptimizerStep>> cases;
  for (const auto length : kLengths) {
    cases.push_back({fmt::format("awkward/sgd_{}", length), {length, Rule::sgd}});
    cases.push_back({fmt::format("awkward/adam_{}", length), {length, Rule::adam}});
    cases.push_back({fmt::format("awkward/amsgrad_{}", length), {length, Rule::amsgrad}});
  }
  return cases;
}

template <>
std::vector<Case<RunningAverage>> awkward_cases<RunningAverage>() {
  std::vector<Case<RunningAverage>> cases;
  for (const auto length : kLengths) cases.push_back({fmt::format("awkward/{}", length), {length}});
  return cases;
}

}  // namespace apam::cases
