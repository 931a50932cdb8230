// Three sizes: of a grid in blocks, or the place of a block in it.
#pragma once

namespace apam::kernels::cuda {

struct Extent {
  int x = 1, y = 1, z = 1;
};

}  // namespace apam::kernels::cuda
