// Threads of a block and how they wait for each other. Blocks are one-dimensional, a multiple of 32 threads. Collective
// functions are called by all threads of the block, or by all lanes of a warp; none of them may have ended.
#pragma once

#include <cstdint>

#include "kernels/cuda/extent.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

DEVICE int thread() { return static_cast<int>(threadIdx.x); }  ///< of the block
DEVICE int lane() { return thread() % 32; }                    ///< of the warp
DEVICE int warp() { return thread() / 32; }                    ///< of the block
/// The place of the block in the grid, and the size of the grid.
DEVICE Extent block() { return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)}; }
DEVICE Extent blocks() { return {static_cast<int>(gridDim.x), static_cast<int>(gridDim.y), static_cast<int>(gridDim.z)}; }

/// Waits for all threads of the block; orders their accesses to shared memory.
DEVICE void sync_block() { __syncthreads(); }
/// Waits for all lanes of the warp; orders their accesses to shared memory.
DEVICE void sync_warp() { __syncwarp(); }

/// The value of lane `lane() ^ mask`. Orders no accesses to memory.
template <class T>
DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(~0U, value, mask);
}
/// The value of lane `from`, which is the same for all lanes.
template <class T>
DEVICE T shuffle(T value, int from) {
  return __shfl_sync(~0U, value, from);
}

/// Orders this thread's accesses to memory before the fence, and those that reached it by a barrier, before its later ones, for
/// all blocks.
DEVICE void fence_grid() { __threadfence(); }
/// Adds 1 to a counter that blocks share, or sets it to 0 if it is `last`. Returns the value before. Call fence_grid() first.
DEVICE std::uint32_t count_up(std::uint32_t* counter, std::uint32_t last) { return atomicInc(counter, last); }
/// Lowers a number that blocks share to `value` if that is smaller.
DEVICE void lower_to(std::int64_t* number, std::int64_t value) {
  atomicMin(reinterpret_cast<long long*>(number), static_cast<long long>(value));
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda
