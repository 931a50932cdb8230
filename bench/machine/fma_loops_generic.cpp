// Architectures without a vector type of ours: only the compiler's portable vectors.
#include <array>

#include "bench/machine/fma_loops.h"

namespace apam::bench {

std::span<const FmaLoop> fma_loops() {
  static const std::array loops{portable_fma_loop()};
  return loops;
}

}  // namespace apam::bench
