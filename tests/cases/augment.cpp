// Augmentation: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/augment_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<Augment>::Rules : Operands<Augment> {
  using Operands::Operands;

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const { return {{"y", y, 3, 1}}; }

  /// Not `divide`: its contract excludes extreme numbers, which would enlarge the rounding of the difference.
  std::vector<CheckedInput> inputs(Pass) const { return {{"subtract", subtract}}; }

  /// A channel reaches all pixels, also of another place than its own in a mean image.
  std::vector<Reached> reached(Pass) const { return {Reached(y.size(), true)}; }

  std::vector<std::vector<double>> expected(Pass) const {
    const auto on_host = [](In values) {
      const auto all = doubles(values);
      return std::vector<float>(all.begin(), all.end());
    };
    const auto copied = [](const auto& span) {
      std::vector<std::remove_const_t<std::remove_pointer_t<decltype(span.data())>>> values(span.size());
      copy_bytes(values.data(), Device{}, span.data(), span.device(), span.size_bytes());
      return values;
    };
    const auto all_bytes = copied(pixels);
    const auto wanted = copied(images);
    const auto minus = on_host(subtract), by = on_host(divide);
    const std::int64_t first_epoch = 0;
    std::vector<double> result(y.size());
    reference::augment<double>(problem, {std::span(all_bytes), {}, std::span(minus), std::span(by)},
                               {std::span(wanted), std::span(&first_epoch, 1), kSeed}, result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return 3.0 * double(y.size()); }

  double bytes(Pass) const { return double(y.size() + y.size_bytes()); }
};

template class support::KernelCheck<Augment>;

template <>
std::vector<cases::Case<Augment>> cases::edge_cases<Augment>() {
  return {
      {"edge/one_pixel", {.n = 1, .h = 1, .w = 1, .c = 1}},
      {"edge/as_they_are", {.n = 9, .h = 5, .w = 7, .c = 3}},
      {"edge/cropped", {.n = 20, .h = 8, .w = 8, .c = 3, .padding = 4}},
      {"edge/mirrored", {.n = 9, .h = 6, .w = 5, .c = 3, .flip = true}},
      {"edge/cropped_and_mirrored", {.n = 30, .h = 7, .w = 9, .c = 3, .padding = 2, .flip = true}},
      {"edge/one_channel", {.n = 5, .h = 28, .w = 28, .c = 1, .padding = 4, .flip = true}},
      {"edge/padding_larger_than_image", {.n = 12, .h = 2, .w = 3, .c = 4, .padding = 5, .flip = true}},
      {"edge/mean_image", {.n = 11, .h = 9, .w = 8, .c = 3, .padding = 3, .flip = true, .mean_image = true}},
      {"edge/wide", {.n = 2, .h = 3, .w = 301, .c = 5, .padding = 1, .flip = true}},
  };
}

}  // namespace apam
