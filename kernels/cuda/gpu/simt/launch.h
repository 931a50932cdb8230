// Launching a kernel. A kernel is a struct:
//   struct Args                       its arguments: plain values and pointers
//   int threads, min_blocks           per block; blocks that share a multiprocessor, which bounds the registers of a thread
//   std::uint32_t shared_bytes        per block
//   DEVICE void run(const Args&[, SharedBytes])      what a thread does; SharedBytes if there are any
//
// On GPUs of compute capability 9.0 and up a kernel's blocks are started as soon as all of the kernel before it have begun, and
// wait for its end before they do anything (programmatic dependent launch): this hides most of the time of a launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <nv/target>

#include "kernels/cuda/extent.h"
#include "kernels/cuda/tile_shape.h"
#include "kernels/runtime/exec.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

/// What kernels are compiled for.
struct Target {
  static constexpr std::string_view provider = "native", tma_provider = "tma";
  static constexpr DeviceKind device = DeviceKind::cuda;
  static constexpr int multiprocessors = kMultiprocessors;  ///< that batch norm divides rows for
};

/// Waits for the end of the kernel before this one, whose results are then visible; lets the next one be started.
DEVICE void begin_in_order() {
  NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.wait;" ::
                                                    : "memory");
                                   asm volatile("griddepcontrol.launch_dependents;");))
}

template <class K>
__global__ void __launch_bounds__(K::threads, K::min_blocks) entry(const __grid_constant__ typename K::Args args) {
  begin_in_order();
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

/// Whether kernels call begin_in_order() on the GPU of an Exec: exec.cache<EarlyStart>().
class EarlyStart {
 public:
  bool allowed(const Exec& exec) {
    if (!known_) {
      int major = 0;
      check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, exec.device().index), "querying the GPU");
      allowed_ = major >= 9;
      known_ = true;
    }
    return allowed_;
  }

 private:
  bool known_ = false, allowed_ = false;
};

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
  cudaLaunchAttribute early_start{};
  early_start.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early_start.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y), static_cast<unsigned>(blocks.z));
  config.blockDim = dim3(K::threads);
  config.dynamicSmemBytes = K::shared_bytes;
  config.stream = static_cast<cudaStream_t>(exec.stream().native());
  config.attrs = &early_start;
  config.numAttrs = exec.cache<EarlyStart>().allowed(exec) ? 1 : 0;
  check(cudaLaunchKernelEx(&config, entry<K>, args), "launching a kernel");
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda
