// Launching a kernel. A kernel is a struct:
//   struct Args                       its arguments: plain values and pointers
//   int threads, min_blocks           per block; blocks that share a multiprocessor, which bounds the registers of a thread
//   std::uint32_t shared_bytes        per block
//   DEVICE void run(const Args&[, SharedBytes])      what a thread does; SharedBytes if there are any
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/extent.h"
#include "kernels/runtime/exec.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

/// What kernels are compiled for.
struct Target {
  static constexpr std::string_view provider = "native";
  static constexpr DeviceKind device = DeviceKind::cuda;
};

template <class K>
__global__ void __launch_bounds__(K::threads, K::min_blocks) entry(const __grid_constant__ typename K::Args args) {
  if constexpr (K::shared_bytes > 0) {
    extern __shared__ __align__(1024) unsigned char shared[];
    K::run(args, SharedBytes(shared));
  } else {
    K::run(args);
  }
}

/// Throws DeviceError: the operation and CUDA's own text.
inline void check(cudaError_t status, std::string_view operation) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clear the error: the next call must not report it again
  fail<DeviceError>("cuda: {}: {}", operation, cudaGetErrorString(status));
}

/// Enqueues a kernel on the stream of `exec`.
template <class K>
void launch(Exec& exec, Extent blocks, const typename K::Args& args) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  constexpr std::uint32_t kWithoutRequest = 48 << 10;
  check(cudaSetDevice(exec.device().index), "selecting the GPU");
  if constexpr (K::shared_bytes > kWithoutRequest) {
    check(cudaFuncSetAttribute(entry<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(K::shared_bytes)),
          "requesting shared memory");
  }
  const dim3 grid(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y), static_cast<unsigned>(blocks.z));
  entry<K><<<grid, K::threads, K::shared_bytes, static_cast<cudaStream_t>(exec.stream().native())>>>(args);
  check(cudaGetLastError(), "launching a kernel");
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda
