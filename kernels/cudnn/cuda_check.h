// The CUDA runtime in this folder: errors, and the current GPU.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/runtime/exec.h"

namespace apam::kernels::cudnn {

/// Throws DeviceError unless the call succeeded: "cudnn: OPERATION: reason".
inline void check_cuda(cudaError_t status, std::string_view operation) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clear the error: the next call must not report it again
  fail<DeviceError>("cudnn: {}: {}", operation, cudaGetErrorString(status));
}

/// Sets the calling thread's current GPU to that of an Exec, as kernels/runtime does.
inline void select_gpu(const Exec& exec) { check_cuda(cudaSetDevice(exec.device().index), "selecting a GPU"); }

}  // namespace apam::kernels::cudnn
