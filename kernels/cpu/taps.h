// How a convolution's rows find their input pixels.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

/// One position of the filter. Pixel (u, v) of a grid of output pixels meets input pixel (u * step + dh, v * step + dw).
struct Tap {
  int dh, dw;
  std::int64_t weights;  ///< where its matrix starts in the weights
};

struct PixelMap {
  int h, w, channels;  ///< of an input image
  int step;

  std::int64_t image_size() const { return std::int64_t{h} * w * channels; }

  /// The input pixel that (u, v) meets at a tap; `outside` when that lies beyond the image.
  const float* find(const float* image, const Tap& tap, int u, int v, const float* outside) const {
    const int i = u * step + tap.dh, j = v * step + tap.dw;
    if (i < 0 || i >= h || j < 0 || j >= w) return outside;
    return image + (std::int64_t{i} * w + j) * channels;
  }
};

}  // namespace apam::kernels::cpu
