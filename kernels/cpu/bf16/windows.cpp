#include "kernels/cpu/bf16/windows.h"

#include "kernels/cpu/bf16/short_copy.h"

namespace apam::kernels::cpu {
namespace {

/// to (count, step) = `length` elements of the line per pixel; pixels are `stride` elements apart.
void copy_columns(const Bits16* line, std::int64_t stride, int count, int length, Bits16* to, std::int64_t step) {
  const auto copy_all = [&](auto copy) {
    for (int q = 0; q < count; ++q) copy(line + q * stride, to + q * step);
  };
  if (length >= 8 && length <= 16) {  // without a choice per pixel
    copy_all([&](const Bits16* from, Bits16* out) { copy_pieces<8>(from, length, out); });
  } else {
    copy_all([&](const Bits16* from, Bits16* out) { short_copy(from, length, out); });
  }
}

}  // namespace

void gather_windows(const Conv2d::Problem& problem, const Bits16* image, int p, Bits16* to) {
  const int out_w = problem.out_w(), row = problem.s * problem.c, window = problem.r * row, stride = problem.stride;
  const auto left = [&](int q) { return q * stride - problem.padding; };
  // From left to right, the windows first .. last - 1 are inside the image.
  int first = 0, last = out_w;
  while (first < last && left(first) < 0) ++first;
  while (last > first && left(last - 1) + problem.s > problem.w) --last;
  for (int r = 0; r < problem.r; ++r, to += row) {
    const int i = p * stride + r - problem.padding;
    const bool inside = i >= 0 && i < problem.h;
    const Bits16* line = inside ? image + std::int64_t{i} * problem.w * problem.c : nullptr;
    const auto copy_part = [&](int q) {
      Bits16* out = to + std::int64_t{q} * window;
      std::fill_n(out, row, Bits16{0});
      const int begin = std::clamp(-left(q), 0, problem.s), end = std::clamp(problem.w - left(q), begin, problem.s);
      if (inside && begin < end)
        short_copy(line + (left(q) + begin) * problem.c, (end - begin) * problem.c, out + begin * problem.c);
    };
    if (inside && first < last) {
      copy_columns(line + left(first) * problem.c, std::int64_t{stride} * problem.c, last - first, row,
                   to + std::int64_t{first} * window, window);
    } else {
      for (int q = first; q < last; ++q) copy_part(q);
    }
    for (int q = 0; q < first; ++q) copy_part(q);
    for (int q = last; q < out_w; ++q) copy_part(q);
  }
}

}  // namespace apam::kernels::cpu
