// The multiply-add loops of this build; fma_loops_*.cpp list those of a processor.
#pragma once

#include <span>

#include "bench/machine/fma_loop.h"

namespace apam::bench {

/// The processor need not be able to run them all.
std::span<const FmaLoop> fma_loops();

}  // namespace apam::bench
