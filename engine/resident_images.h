// A split of a data set in the memory of the device, from which steps gather and augment their mini-batches themselves: a
// mini-batch then costs 4 bytes per row on the way to the device, and no work of the host. kernels/ops/augment.h has the
// formulas; images have the bits of data/augmentation.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/shape.h"
#include "kernels/ops/augment.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

struct ResidentOptions {
  Shape images;                 ///< (M, H, W, C)
  std::vector<float> subtract;  ///< (C), or (H, W, C)
  std::vector<float> divide;    ///< (C)
  int padding = 0;
  bool flip = false;
  std::uint64_t seed = 0;  ///< of placements
};

class ResidentImages {
 public:
  /// Writes image `index` (H, W, C) to `pixels` and returns its label.
  using Read = std::function<std::int32_t(std::int64_t index, std::span<std::uint8_t> pixels)>;

  /// Reads all images. Throws ShapeError for other sizes than the options' images, OutOfMemory if the device has no room, and
  /// what `read` throws.
  ResidentImages(Exec& exec, ResidentOptions options, const Read& read);

  const Shape& images() const { return options_.images; }
  std::uint64_t seed() const { return options_.seed; }

  /// The augmentation of `rows` images as activations of this type.
  kernels::Augment::Problem problem(int rows, DType type) const;
  kernels::Augment::Source source() const;

 private:
  ResidentOptions options_;
  Buffer bytes_, labels_, subtract_, divide_;
};

}  // namespace apam::engine
