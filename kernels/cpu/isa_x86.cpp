// Instruction sets of x86-64. __builtin_cpu_supports also checks that the operating system saves the vector registers.
#include <vector>

#include "kernels/cpu/bf16/amx_support.h"
#include "kernels/cpu/bf16/builds.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {
namespace {

/// AVX-512 with products of bfloat16, named as its unit.
Isa with_products(const TileKernels16& tiles) {
  Isa isa = avx512_isa();
  isa.name = tiles.name;
  isa.tiles = &tiles;
  return isa;
}

}  // namespace

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

std::span<const Isa* const> all_isas() {
  static const std::vector<const Isa*> all = [] {
    static const Isa avx512_bf16 = with_products(dot_tiles());
    const auto available = available_isas();
    std::vector<const Isa*> isas(available.begin(), available.end());
    const bool bf16 =
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16");
    if (isas.back() != &avx512_isa() || !bf16) return isas;
    isas.push_back(&avx512_bf16);
    if (const TileKernels16* tiles = available_amx_tiles()) {
      static const Isa amx = with_products(*tiles);
      isas.push_back(&amx);
    }
    return isas;
  }();
  return all;
}

/// Products of bfloat16 in vectors have twice the rate of float32 on AMD's processors, and half of it on Intel's (measured on a
/// Xeon with AMX).
const Isa& best_isa() {
  __builtin_cpu_init();
  const bool products = available_amx_tiles() != nullptr || __builtin_cpu_is("amd");
  return products ? *all_isas().back() : *available_isas().back();
}

}  // namespace apam::kernels::cpu
