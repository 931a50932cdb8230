// The windows of a convolution as rows (im2col), for inputs with few channels: the sum over a window of 3 x 3 x 3 elements then
// fills one tile of depth 32, instead of nine tiles with 3 channels each.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/bf16/short_copy.h"
#include "kernels/cpu/bf16/tile_unit.h"
#include "kernels/ops/conv2d.h"
#include "kernels/runtime/dtype.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

/// Elements in the bits of which the kernels compute.
inline const Bits16* bits_of(const BFloat16* values) { return reinterpret_cast<const Bits16*>(values); }
inline Bits16* bits_of(BFloat16* values) { return reinterpret_cast<Bits16*>(values); }

/// Whether windows are packed as pixels of R * S * C channels, and the convolution is computed as one of 1 x 1.
inline bool packs_windows(const Conv2d::Problem& problem) {
  return problem.c < kTileDepth / 2 && problem.r * problem.s > 1 && problem.r * problem.s * problem.c <= 1024;
}

/// to (count, step) = `length` elements of the line per pixel; pixels are `stride` elements apart.
inline void copy_columns(const Bits16* line, std::int64_t stride, int count, int length, Bits16* to, std::int64_t step) {
  const auto copy_all = [&](auto copy) {
    for (int q = 0; q < count; ++q) copy(line + q * stride, to + q * step);
  };
  if (length >= 8 && length <= 16) {  // without a choice per pixel
    copy_all([&](const Bits16* from, Bits16* out) { copy_pieces<8>(from, length, out); });
  } else {
    copy_all([&](const Bits16* from, Bits16* out) { short_copy(from, length, out); });
  }
}

/// to (Q, R*S*C) = the windows of output line p; zero outside the image.
inline void gather_windows(const Conv2d::Problem& problem, const Bits16* image, int p, Bits16* to) {
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

/// The lines of x inside the image that some output lines read.
inline Range input_lines(const Conv2d::Problem& problem, Range lines) {
  const std::int64_t begin = lines.begin * problem.stride - problem.padding;
  const std::int64_t end = (lines.end - 1) * problem.stride - problem.padding + problem.r;
  return {std::clamp<std::int64_t>(begin, 0, problem.h), std::clamp<std::int64_t>(end, 0, problem.h)};
}

}  // namespace apam::kernels::cpu
