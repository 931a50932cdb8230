// The tables exported by build_*.cpp. amx_tiles() is only in builds for x86-64, and its kernels run only if amx_absence() says
// nothing.
#pragma once

#include "kernels/cpu/amx/tables.h"

namespace apam::kernels::cpu {

const TileKernels16& emulated_tiles();
const TileKernels16& amx_tiles();

}  // namespace apam::kernels::cpu
