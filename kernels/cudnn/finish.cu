// One thread per element, in grids that stride over long arrays.
#include "kernels/cudnn/finish.h"

#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/cudnn/cuda_check.h"

namespace apam::kernels::cudnn {
namespace {

constexpr int kThreads = 256, kMostBlocks = 1056;

__device__ float widened(float value) { return value; }
__device__ float widened(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ void store(float value, float& to) { to = value; }
__device__ void store(float value, __nv_bfloat16& to) { to = __float2bfloat16_rn(value); }

template <class Value, class To>
__global__ void add_kernel(const Value* values, To* to, std::size_t size) {
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size; i += stride) {
    store(widened(to[i]) + widened(values[i]), to[i]);
  }
}

/// One block per channel; nearly always it only reads three numbers.
template <class To>
__global__ void show_kernel(const float* variance, const float* gamma, const float* beta, float* inv_std, To* y,
                            std::size_t rows, int channels) {
  const int c = static_cast<int>(blockIdx.x);
  if (isfinite(variance[c]) && isfinite(gamma[c]) && isfinite(beta[c])) return;
  const float nan = __int_as_float(0x7FC00000);
  if (threadIdx.x == 0 && !isfinite(variance[c])) inv_std[c] = nan;
  for (std::size_t row = threadIdx.x; row < rows; row += blockDim.x) store(nan, y[row * channels + c]);
}

cudaStream_t stream_of(const Exec& exec) { return static_cast<cudaStream_t>(exec.stream().native()); }

template <class Value, class To>
void launch_add(const Exec& exec, In values, Out to) {
  const auto blocks = std::min<std::size_t>((to.size() + kThreads - 1) / kThreads, kMostBlocks);
  add_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream_of(exec)>>>(reinterpret_cast<const Value*>(values.bytes()),
                                                                              reinterpret_cast<To*>(to.bytes()), to.size());
}

}  // namespace

void add_to(const Exec& exec, In values, Out to) {
  if (to.empty()) return;
  select_gpu(exec);
  require<ShapeError>(values.size() == to.size(), "cudnn: {} values are added to {}", values.size(), to.size());
  if (to.type() == DType::float32) {
    launch_add<float, float>(exec, values, to);
  } else if (values.type() == DType::float32) {
    launch_add<float, __nv_bfloat16>(exec, values, to);
  } else {
    launch_add<__nv_bfloat16, __nv_bfloat16>(exec, values, to);
  }
  check_cuda(cudaGetLastError(), "adding a result");
}

void show_overflow(const Exec& exec, const CheckedChannels& checked, Span<float> inv_std, Out y) {
  select_gpu(exec);
  const auto channels = static_cast<unsigned>(checked.variance.size());
  const std::size_t rows = y.size() / channels;
  const auto launch = [&]<class To>(To* values) {
    show_kernel<<<channels, kThreads, 0, stream_of(exec)>>>(checked.variance.data(), checked.gamma.data(), checked.beta.data(),
                                                            inv_std.data(), values, rows, static_cast<int>(channels));
  };
  y.type() == DType::float32 ? launch(reinterpret_cast<float*>(y.bytes()))
                             : launch(reinterpret_cast<__nv_bfloat16*>(y.bytes()));
  check_cuda(cudaGetLastError(), "checking the channels of a batch norm");
}

}  // namespace apam::kernels::cudnn
