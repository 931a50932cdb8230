// From an image's bytes to the network's input: pad, crop, flip, normalise, in one pass.
//
//   out[y][x][c] = norm(image[y + dy - p][x' + dx - p][c]),   x' = x, or W-1-x when flipped
//
// where p is the padding, 0 <= dy, dx <= 2p, and norm(v) = (v / 255 - subtract) / divide. Pixels outside the image are black
// BEFORE normalisation, so they become (0 - subtract) / divide, as torchvision's RandomCrop followed by Normalize has it.
// With a mean image in place of a number per channel there is no mean outside the image: padding is then 0 after
// normalisation, as when an image with its mean already taken off is padded.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/image.h"

namespace apam::data {

struct Augmentation {
  int padding = 0;    ///< pixels of black border on each side, from which an image of the old size is cut
  bool flip = false;  ///< mirror left-right with probability 1/2

  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

inline constexpr Augmentation kNoAugmentation{};
inline constexpr Augmentation kStandardAugmentation{.padding = 4, .flip = true};

/// Reads "standard" or "none". Throws InputError otherwise.
Augmentation parse_augmentation(std::string_view text);

/// Where one image is cut, and whether it is mirrored.
struct Placement {
  int dy = 0;  ///< 0 .. 2 * padding
  int dx = 0;
  bool flip = false;

  friend bool operator==(const Placement&, const Placement&) = default;
};

/// The placement of `image` in `epoch`: a pure function of its arguments (Philox, Purpose::augmentation), so that it does not
/// matter which thread or process asks. `image` is below 2^32.
Placement draw_placement(const Augmentation& augmentation, std::uint64_t seed, std::int64_t epoch, std::int64_t image);

/// Applies placements and a normalisation to images of one shape. Immutable: any number of threads may use one.
class ImageWriter {
 public:
  /// Throws ShapeError unless `normalisation` has (C) or (H, W, C) numbers to subtract and (C) non-zero ones to divide by.
  ImageWriter(ImageShape shape, const Normalisation& normalisation, int padding);

  /// `pixels` (H, W, C) to `out` (H, W, C). `row` is scratch of shape.row() values.
  void write(std::span<const std::uint8_t> pixels, Placement placement, std::span<float> row, std::span<float> out) const;

 private:
  ImageShape shape_;
  int padding_;
  std::size_t subtract_stride_;  // values of subtract_ from one image row to the next: 0 without a mean image
  std::vector<float> subtract_;  // (1 or H, W, C)
  std::vector<float> divide_;    // (W, C)
  std::vector<float> border_;    // (W, C): a row of padding
};

}  // namespace apam::data
