// GPU memory through the CUDA runtime. Each block is one cudaMalloc, so that one IPC handle exports all of it. Copies and fills
// run on the device's default stream and block until they are complete.
#include <cuda_runtime_api.h>

#include <cstdio>

#include "kernels/runtime/buffer.h"

namespace apam {
namespace {

template <class... Args>
void check(cudaError_t status, fmt::format_string<Args...> operation, Args&&... args) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clear the error: the next call must not report it again
  fail<DeviceError>("cuda: {}: {}", fmt::format(operation, std::forward<Args>(args)...), cudaGetErrorString(status));
}

/// Sets the calling thread's current GPU for a scope.
class Current {
 public:
  explicit Current(int index) {
    check(cudaGetDevice(&before_), "querying the current GPU");
    check(cudaSetDevice(index), "selecting GPU {}", index);
  }
  ~Current() { cudaSetDevice(before_); }  // cannot fail: it was current before
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
};

class CudaMemory final : public DeviceMemory {
 public:
  CudaMemory() {
    int count = 0;
    check(cudaGetDeviceCount(&count), "counting GPUs");
    require<DeviceError>(count > 0, "cuda: no GPU found");
  }

  void* allocate(std::size_t bytes, int index) override {
    const Current current(index);
    void* data = nullptr;
    check(cudaMalloc(&data, bytes == 0 ? 1 : bytes), "allocating {} bytes on GPU {}", bytes, index);
    return data;
  }

  void release(void* data, int index) noexcept override {
    const cudaError_t status = cudaFree(data);  // finds the GPU by the address
    if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
    fmt::print(stderr, "cuda: releasing memory on GPU {}: {}\n", index, cudaGetErrorString(status));
  }

  void copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) override {
    const Current current(to_device.kind == DeviceKind::cuda ? to_device.index : from_device.index);
    check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copying {} bytes from {} to {}", bytes, to_string(from_device),
          to_string(to_device));
    check(cudaStreamSynchronize(nullptr), "copying {} bytes from {} to {}", bytes, to_string(from_device),
          to_string(to_device));
  }

  void zero(void* data, int index, std::size_t bytes) override {
    const Current current(index);
    check(cudaMemset(data, 0, bytes), "clearing {} bytes on GPU {}", bytes, index);
    check(cudaStreamSynchronize(nullptr), "clearing {} bytes on GPU {}", bytes, index);
  }
};

}  // namespace

std::vector<std::string> gpu_names() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {  // also without a driver
    cudaGetLastError();
    return {};
  }
  std::vector<std::string> names;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "querying GPU {}", index);
    names.emplace_back(properties.name);
  }
  return names;
}

DeviceMemory& cuda_memory() {
  static auto* const memory = new CudaMemory;  // never destroyed: a static Buffer may be released later
  return *memory;
}

}  // namespace apam
