// Replaces cuda_memory.cpp in builds without CUDA.
#include "kernels/runtime/buffer.h"

namespace apam {

DeviceMemory& cuda_memory() { fail<DeviceError>("cuda: this build has no CUDA; configure it with -DAPAM_CUDA=ON"); }

std::vector<std::string> gpu_names() { return {}; }

}  // namespace apam
