// The instruction sets of a processor that we have no vector type for: what the compiler makes of portable vectors.
#include <array>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {

std::span<const Isa* const> available_isas() {
  static const std::array<const Isa*, 1> available{&portable_isa()};
  return available;
}

}  // namespace apam::kernels::cpu
