// Convolution besides make(): by TMA, and with a tile of a given size, for tests.
#pragma once

#include <memory>

#include "kernels/cuda/products.h"

namespace apam::kernels::cuda {

/// make() chooses the tile by the problem.
std::unique_ptr<Conv2d::Kernel> make_with_tile(Exec&, const Conv2d::Problem&, Conv2d::Pass, TileSize, Target,
                                               Loads = Loads::by_threads);

/// Forward and backward-input in bfloat16 with operands that TMA copies, for GPUs of compute capability 9.0: on others, making
/// such a kernel throws KernelError.
bool tma_supports(const Conv2d::Problem&, Conv2d::Pass);
std::unique_ptr<Conv2d::Kernel> make_by_tma(Exec&, const Conv2d::Problem&, Conv2d::Pass, Target);

}  // namespace apam::kernels::cuda
