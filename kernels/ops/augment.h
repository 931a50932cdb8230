// A mini-batch of a data set that is in the device's memory: images are gathered, padded, cropped, mirrored and normalised in
// one pass, and labels are gathered. For row i with image m = images[i] and its placement (dy, dx, flip):
//   y[i,r,q,c] = norm(bytes[m, r + dy - padding, q' + dx - padding, c]),   q' = q, or W-1-q if flipped
//   norm(v) = (v / 255 - subtract) / divide
//   placement = placement_of(Philox(seed, augmentation, epoch).words(m), padding, flip)        (kernels/runtime/placement.h)
// Pixels outside the image are black: (0 - subtract[c]) / divide[c]; with a mean image to subtract they are 0. Without padding
// and flip no image is moved. Arithmetic is float32 in this order, each operation rounded once: so y in float32 has the same
// bits on every device, which are those of data/augmentation.h. y in bfloat16 is that, rounded.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct Augment {
  static constexpr std::string_view name = "augment";

  struct Problem {
    int n, h, w, c;  ///< y: (N, H, W, C)
    int padding = 0;
    bool flip = false;
    bool mean_image = false;      ///< `subtract` is (H, W, C), else (C)
    DType type = DType::float32;  ///< of y

    std::size_t image() const { return std::size_t(h) * w * c; }
    std::size_t size() const { return n * image(); }
    std::string describe() const;  ///< "80x32x32x3, padding 4, flip"
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward };
  static constexpr std::array<std::string_view, 1> pass_names{"forward"};

  /// The data set, M images.
  struct Source {
    ConstSpan<std::uint8_t> bytes;  ///< (M, H, W, C)
    Labels labels;                  ///< (M)
    ConstSpan<float> subtract;      ///< (C) or (H, W, C), in units of byte / 255
    ConstSpan<float> divide;        ///< (C), normal numbers
  };
  /// The mini-batch. What changes from step to step is in memory of the device.
  struct Selection {
    ConstSpan<std::int32_t> images;  ///< (N), in 0 .. M-1: not checked, since they may be on a GPU
    ConstSpan<std::int64_t> epoch;   ///< (1)
    std::uint64_t seed = 0;
  };

  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void forward(Exec&, const Source&, const Selection&, Out y, Span<std::int32_t> labels) = 0;
  };
};

}  // namespace apam::kernels
