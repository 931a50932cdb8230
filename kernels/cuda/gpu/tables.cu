// The table of kernels for GPUs, in builds with CUDA; otherwise see absent.cpp.
#include "kernels/cuda/make.h"
#include "kernels/providers.h"

namespace apam::kernels {

Tables cuda::tables() { return cuda::tables_for(cuda::Target()); }

}  // namespace apam::kernels
