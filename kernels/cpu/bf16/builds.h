// The tables exported by build_*.cpp. All but emulated_tiles() are only in builds for x86-64. amx_support.h tells whether the
// processor has AMX; isa_x86.cpp, whether it has AVX512-BF16.
#pragma once

#include "kernels/cpu/bf16/tables.h"

namespace apam::kernels::cpu {

const TileKernels16& emulated_tiles();
const TileKernels16& amx_tiles();
const TileKernels16& dot_tiles();

}  // namespace apam::kernels::cpu
