// Tells whether values are numbers: how a diverged model is found out.
#pragma once

#include "kernels/runtime/exec.h"

namespace apam {

/// True unless a value is NaN or infinite. Reads every value once, on all threads of `exec`; allocates nothing.
/// Throws DeviceError for memory that is not the CPU's.
bool all_finite(Exec& exec, In values);

}  // namespace apam
