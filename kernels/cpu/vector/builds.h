// The tables that vector/build_*.cpp export, one for each instruction set. Only the portable one exists on all processors.
#pragma once

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

const Isa& portable_isa();
const Isa& avx2_isa();
const Isa& avx512_isa();

}  // namespace apam::kernels::cpu
