// Convolution with a tile of a given size, for tests: make() chooses it by the problem.
#pragma once

#include <memory>

#include "kernels/cuda/products.h"

namespace apam::kernels::cuda {

std::unique_ptr<Conv2d::Kernel> make_with_tile(Exec&, const Conv2d::Problem&, Conv2d::Pass, TileSize, Target);

}  // namespace apam::kernels::cuda
