// The tables exported by vector/build_*.cpp, one per instruction set. Only portable_isa() is in every build.
#pragma once

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

const Isa& portable_isa();
const Isa& avx2_isa();
const Isa& avx512_isa();

}  // namespace apam::kernels::cpu
