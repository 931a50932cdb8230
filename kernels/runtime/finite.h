// Detects NaN and infinity, the signs of a diverged model.
#pragma once

#include "kernels/runtime/exec.h"

namespace apam {

/// The index of the first value that is NaN or infinite; `count` if there is none. `values` (count) is in host memory.
std::int64_t first_non_finite(const float* values, std::int64_t count);

/// True unless a value is NaN or infinite. Reads every value once, on all threads of `exec`; allocates nothing.
/// Throws DeviceError for GPU memory.
bool all_finite(Exec& exec, ConstSpan<float> values);

}  // namespace apam
