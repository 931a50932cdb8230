// Processors other than x86-64 have no kernels on AMX.
#include "tests/kernels/cpu/trapped_amx.h"

namespace apam::kernels::cpu {

const TileKernels16* trapped_amx_tiles() { return nullptr; }

TrappedAmx trapped_amx() { return {}; }

}  // namespace apam::kernels::cpu
