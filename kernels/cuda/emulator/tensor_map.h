// Tensor maps, and what a copy by TMA reads through them.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cuda/emulator/report.h"
#include "kernels/cuda/tensor_box.h"

namespace apam::kernels::cuda::emulator {

struct TensorMap {
  bool of_images;
  MatrixBox matrix;
  ImageBox image;
};

/// The 16 bytes that each chunk of a box receives, line by line; null for zeros. Throw Stop if the map is of the other kind.
using Chunks = std::vector<const std::byte*>;
Chunks chunks_of(const TensorMap&, MatrixPlace, const Site&);
Chunks chunks_of(const TensorMap&, ImagePlace, const Site&);

}  // namespace apam::kernels::cuda::emulator
