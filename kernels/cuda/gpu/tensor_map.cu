// Tensor maps, encoded by the driver. Its library is not linked: the CUDA runtime finds the functions.
#include <cudaTypedefs.h>

#include <cstring>

#include "kernels/runtime/error.h"

#include <simt/launch.h>
#include <simt/tma.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {
namespace {

static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) == alignof(CUtensorMap));

constexpr auto kType = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
constexpr auto kInterleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
constexpr auto kSwizzle = CU_TENSOR_MAP_SWIZZLE_128B;
constexpr auto kPromotion = CU_TENSOR_MAP_L2_PROMOTION_L2_256B;
constexpr auto kFill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;  // zeros

/// A function of the driver, of CUDA 12.0.
template <class Function>
Function driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult status{};
  check(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &status), name);
  require<DeviceError>(found != nullptr && status == cudaDriverEntryPointSuccess, "cuda: this driver has no {}", name);
  return reinterpret_cast<Function>(found);
}

/// The driver encodes in the context of a device, which this creates.
void select(Device device) { check(cudaSetDevice(device.index), "selecting the GPU"); }

int driver_version() {
  int version = 0;
  check(cudaDriverGetVersion(&version), "asking for the version of the driver");
  return version;
}

/// `elements`: of the tensor.
TensorMap encoded(CUresult result, const char* name, CUtensorMap map, std::uint64_t elements) {
  require<DeviceError>(result == CUDA_SUCCESS, "cuda: {}: error {}", name, static_cast<int>(result));
  TensorMap copy{};
  std::memcpy(&copy, &map, sizeof(copy));
  // Drivers up to CUDA 13.1 set a bit that is wrong for tensors of less than 128 KiB; CUTLASS clears it on every GPU, too,
  // although compute capability 9.0 may not use it.
  constexpr std::uint64_t kSmall = 128 << 10;
  static const bool fault = driver_version() <= 13010;
  if (fault && elements * sizeof(BFloat16) < kSmall) copy.words[1] &= ~(std::uint64_t{1} << 21);
  return copy;
}

}  // namespace

TensorMap tensor_map(Device device, const MatrixBox& box) {
  select(device);
  static const auto encode = driver_function<PFN_cuTensorMapEncodeTiled_v12000>("cuTensorMapEncodeTiled");
  const auto size = [&](int d) { return static_cast<cuuint64_t>(box.sizes[d]); };
  const cuuint64_t sizes[] = {size(0), size(1), size(2)};
  const cuuint64_t strides[] = {size(0) * sizeof(BFloat16), size(0) * size(1) * sizeof(BFloat16)};
  const cuuint32_t lines[] = {kBoxLine, 1, static_cast<cuuint32_t>(box.lines)};
  const cuuint32_t steps[] = {1, 1, 1};
  CUtensorMap map{};
  const CUresult result = encode(&map, kType, 3, const_cast<BFloat16*>(box.data), sizes, strides, lines, steps, kInterleave,
                                 kSwizzle, kPromotion, kFill);
  return encoded(result, "cuTensorMapEncodeTiled", map, size(0) * size(1) * size(2));
}

TensorMap tensor_map(Device device, const ImageBox& box) {
  select(device);
  static const auto encode = driver_function<PFN_cuTensorMapEncodeIm2col_v12000>("cuTensorMapEncodeIm2col");
  const auto c = static_cast<cuuint64_t>(box.c), w = static_cast<cuuint64_t>(box.w), h = static_cast<cuuint64_t>(box.h),
             n = static_cast<cuuint64_t>(box.n);
  const cuuint64_t sizes[] = {c, w, h, n};
  const cuuint64_t strides[] = {c * sizeof(BFloat16), w * c * sizeof(BFloat16), h * w * c * sizeof(BFloat16)};
  // Corners begin with the innermost dimension, as everything else does; the manual has them the other way round.
  const int lower[] = {box.lower.w, box.lower.h}, upper[] = {box.upper.w, box.upper.h};
  const auto step = static_cast<cuuint32_t>(box.step);
  const cuuint32_t steps[] = {1, step, step, 1};
  CUtensorMap map{};
  const CUresult result = encode(&map, kType, 4, const_cast<BFloat16*>(box.data), sizes, strides, lower, upper, kBoxLine,
                                 static_cast<cuuint32_t>(box.pixels), steps, kInterleave, kSwizzle, kPromotion, kFill);
  return encoded(result, "cuTensorMapEncodeIm2col", map, c * w * h * n);
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda
