// Instruction sets of processors for which there is no vector type: only the portable one.
#include <array>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {

std::span<const Isa* const> available_isas() {
  static const std::array<const Isa*, 1> available{&portable_isa()};
  return available;
}

std::span<const Isa* const> all_isas() { return available_isas(); }

const Isa& best_isa() { return portable_isa(); }

}  // namespace apam::kernels::cpu
