// From the bytes of an image to the input of a net: pad, crop, flip and normalise in one pass.
//
//   out[y][x][c] = norm(image[y + dy - p][x' + dx - p][c]),   x' = x, or W-1-x when flipped
//
// where p is the padding, 0 <= dy, dx <= 2p, and norm(v) = (v / 255 - subtract) / divide. Padding is black before
// normalisation, so it becomes (0 - subtract) / divide, as with torchvision's RandomCrop followed by Normalize. With a mean
// image instead of a mean per channel, padding is 0 after normalisation, as if the mean had been subtracted before padding.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/image.h"
#include "kernels/runtime/placement.h"

namespace apam::data {

struct Augmentation {
  int padding = 0;    ///< black pixels added on each side before a random crop to the original size
  bool flip = false;  ///< mirror left-right with probability 1/2

  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

inline constexpr Augmentation kNoAugmentation{};
inline constexpr Augmentation kStandardAugmentation{.padding = 4, .flip = true};

/// Parses "standard" or "none". Throws InputError otherwise.
Augmentation parse_augmentation(std::string_view text);

/// The placement of `image` (< 2^32) in `epoch`: a pure function of the arguments (Philox, Purpose::augmentation), independent
/// of thread and process.
Placement draw_placement(const Augmentation& augmentation, std::uint64_t seed, std::int64_t epoch, std::int64_t image);

/// Applies placement and normalisation to images of one shape. Immutable and thread-safe.
class ImageWriter {
 public:
  /// Throws ShapeError unless normalisation.subtract is (C) or (H, W, C), and normalisation.divide is (C) and non-zero.
  ImageWriter(ImageShape shape, const Normalisation& normalisation, int padding);

  /// Writes `pixels` (H, W, C) to `out` (H, W, C). `row` is scratch memory (W, C).
  void write(std::span<const std::uint8_t> pixels, Placement placement, std::span<float> row, std::span<float> out) const;

 private:
  ImageShape shape_;
  int padding_;
  std::size_t subtract_stride_;  // stride of image rows in subtract_: 0 without a mean image
  std::vector<float> subtract_;  // (1 or H, W, C)
  std::vector<float> divide_;    // (W, C)
  std::vector<float> border_;    // (W, C): a normalised row of padding
};

}  // namespace apam::data
