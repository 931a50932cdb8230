// The input pixels that an output pixel of a convolution reads.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

/// One filter position. Pixel (u, v) of a grid of output pixels reads input pixel (u * step + dh, v * step + dw).
struct Tap {
  int dh, dw;
  std::int64_t weights;  ///< offset of its matrix in the weights
};

struct PixelMap {
  int h, w, channels;  ///< of an input image
  int step;

  std::int64_t image_size() const { return std::int64_t{h} * w * channels; }

  /// The input pixel that (u, v) reads at a tap; `outside` if it is outside the image.
  const float* find(const float* image, const Tap& tap, int u, int v, const float* outside) const {
    const int i = u * step + tap.dh, j = v * step + tap.dw;
    if (i < 0 || i >= h || j < 0 || j >= w) return outside;
    return image + (std::int64_t{i} * w + j) * channels;
  }
};

}  // namespace apam::kernels::cpu
