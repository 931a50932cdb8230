// Products with WgmmaTile. They are compiled in wgmma_products.cu, for GPUs of compute capability 9.0 only.
#pragma once

#include "kernels/cuda/wgmma_tile.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {

/// launch<K>() for a K with WgmmaTile, on a device with has_wgmma().
template <class K>
void launch_wgmma(Exec& exec, Extent blocks, const typename K::Args& args);

}  // namespace apam::kernels::cuda
