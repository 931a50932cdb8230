// Replaces cuda_runtime.cpp in builds without CUDA.
#include "kernels/runtime/device_runtime.h"
#include "kernels/runtime/error.h"

namespace apam {

DeviceRuntime& cuda_runtime() { fail<DeviceError>("cuda: this build has no CUDA; configure it with -DAPAM_CUDA=ON"); }

std::vector<std::string> gpu_names() { return {}; }

}  // namespace apam
