// Rounding float32 to bfloat16, for other kernels.
#pragma once

#include "kernels/runtime/exec.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {

/// to[i] = from[i], rounded to nearest even.
void convert(Exec&, const float* from, BFloat16* to, std::int64_t size, Target);

}  // namespace apam::kernels::cuda
