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

/// Sets the calling thread's current GPU to that of an Exec, for a scope.
class OnGpu {
 public:
  explicit OnGpu(const Exec& exec) {
    check_cuda(cudaGetDevice(&before_), "querying the current GPU");
    check_cuda(cudaSetDevice(exec.device().index), "selecting a GPU");
  }
  ~OnGpu() { cudaSetDevice(before_); }  // cannot fail: it was current before
  OnGpu(const OnGpu&) = delete;
  OnGpu& operator=(const OnGpu&) = delete;

 private:
  int before_ = 0;
};

}  // namespace apam::kernels::cudnn
