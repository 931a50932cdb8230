// The multiply-add loops of this build, listed per architecture in fma_loops_*.cpp.
#pragma once

#include <span>

#include "bench/machine/fma_loop.h"

namespace apam::bench {

/// Includes loops that this processor may not support.
std::span<const FmaLoop> fma_loops();

}  // namespace apam::bench
