// Runs the machine code of kernels/cpu/bf16/build_amx.cpp on processors without AMX. Its AMX instructions are undefined there,
// so each of them raises SIGILL; a signal handler decodes and executes it on tiles in memory. What remains untested is the
// speed, and whether the processor keeps to its manual.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16/tables.h"

namespace apam::kernels::cpu {

/// The kernels on AMX, executed by a handler of SIGILL, which the first call installs. Null if the processor has AMX itself, or
/// if it lacks AVX512-BF16, which the same kernels use.
const TileKernels16* trapped_amx_tiles();

/// What the handler counted in all threads.
struct TrappedAmx {
  std::int64_t products;
  std::int64_t configured_threads;  // that have configured, and not released, their tiles
};
TrappedAmx trapped_amx();

}  // namespace apam::kernels::cpu
