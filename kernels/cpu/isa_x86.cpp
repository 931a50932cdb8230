// Instruction sets of x86-64. __builtin_cpu_supports also checks that the operating system saves the vector registers.
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {

std::span<const Isa* const> available_isas() {
  static const std::vector<const Isa*> available = [] {
    __builtin_cpu_init();
    std::vector<const Isa*> isas{&portable_isa()};
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) isas.push_back(&avx2_isa());
    if (avx2 && __builtin_cpu_supports("avx512f")) isas.push_back(&avx512_isa());
    return isas;
  }();
  return available;
}

}  // namespace apam::kernels::cpu
