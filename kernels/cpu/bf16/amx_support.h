// Whether the processor's tile unit can be used. Linux saves its registers only for processes that ask for them, because they
// take 8 KiB per thread (arch_prctl, ARCH_REQ_XCOMP_PERM). All threads of the process get the permission.
#pragma once

#include <string>

#include "kernels/cpu/bf16/tables.h"

namespace apam::kernels::cpu {

/// Why AMX is absent: "the processor has no AMX", "the kernel refuses AMX: REASON". Empty if it can be used. The first call
/// asks the kernel, for the whole process.
const std::string& amx_absence();

/// The kernels on AMX, or null if it is absent.
const TileKernels16* available_amx_tiles();

}  // namespace apam::kernels::cpu
