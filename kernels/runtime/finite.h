// Detects NaN and infinity, the signs of a diverged model.
#pragma once

#include "kernels/runtime/exec.h"

namespace apam {

/// True unless a value is NaN or infinite. Reads every value once, on all threads of `exec`; allocates nothing.
/// Throws DeviceError for GPU memory.
bool all_finite(Exec& exec, ConstSpan<float> values);

}  // namespace apam
