#include "kernels/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "kernels/cpu/bf16/amx_support.h"
#include "kernels/cpu/integers.h"
#include "kernels/runtime/error.h"

namespace apam::kernels::cpu {

const Isa& find_isa(std::string_view name) {
  std::string known;
  for (const Isa* isa : all_isas()) {
    if (isa->name == name) return *isa;
    known += (known.empty() ? "" : ", ") + std::string(isa->name);
  }
  if (name == "amx") fail<InputError>("APAM_ISA: instruction set 'amx' is not available: {}", amx_absence());
  fail<InputError>("APAM_ISA: instruction set '{}' is not available; available: {}", name, known);
}

const Isa& default_isa() {
  static const Isa& chosen = [&]() -> const Isa& {
    const char* wanted = std::getenv("APAM_ISA");
    return wanted == nullptr ? best_isa() : find_isa(wanted);
  }();
  return chosen;
}

const TileKernels& best_tile(const Isa& isa, std::int64_t columns) {
  const auto cycles = [&](const TileKernels& tile) {
    const int vectors = tile.panel / isa.width;
    const int step = std::max(tile.rows * vectors, tile.rows + vectors);
    return static_cast<double>(ceil_div(columns, tile.panel) * step) / tile.rows;
  };
  const TileKernels* tiles = isa.gemm.tiles;
  return *std::min_element(tiles, tiles + isa.gemm.count, [&](const auto& a, const auto& b) { return cycles(a) < cycles(b); });
}

}  // namespace apam::kernels::cpu
