// The windows of a convolution as rows (im2col), for inputs with few channels: the sum over a window of 3 x 3 x 3 elements then
// fills one tile of depth 32, instead of nine tiles with 3 channels each.
#pragma once

#include <algorithm>
#include <cstdint>

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

/// to (Q, R*S*C) = the windows of output line p; zero outside the image.
inline void gather_windows(const Conv2d::Problem& problem, const Bits16* image, int p, Bits16* to) {
  for (int q = 0; q < problem.out_w(); ++q) {
    const int left = q * problem.stride - problem.padding;
    const int begin = std::clamp(-left, 0, problem.s), end = std::clamp(problem.w - left, begin, problem.s);
    for (int r = 0; r < problem.r; ++r, to += std::int64_t{problem.s} * problem.c) {
      const int i = p * problem.stride + r - problem.padding;
      const bool inside = i >= 0 && i < problem.h && begin < end;
      const int first = inside ? begin * problem.c : 0, last = inside ? end * problem.c : 0;
      std::fill_n(to, first, Bits16{0});
      if (inside) {
        std::copy_n(image + (std::int64_t{i} * problem.w + left + begin) * problem.c, last - first, to + first);
      }
      std::fill(to + last, to + std::int64_t{problem.s} * problem.c, Bits16{0});
    }
  }
}

/// The lines of x inside the image that some output lines read.
inline Range input_lines(const Conv2d::Problem& problem, Range lines) {
  const std::int64_t begin = lines.begin * problem.stride - problem.padding;
  const std::int64_t end = (lines.end - 1) * problem.stride - problem.padding + problem.r;
  return {std::clamp<std::int64_t>(begin, 0, problem.h), std::clamp<std::int64_t>(end, 0, problem.h)};
}

}  // namespace apam::kernels::cpu
