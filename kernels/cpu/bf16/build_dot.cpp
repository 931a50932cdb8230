// The kernels on the products of AVX512-BF16, compiled with its flags; see isa.h.
#include "kernels/cpu/bf16/builds.h"
#include "kernels/cpu/bf16/dot_unit.h"
#include "kernels/cpu/bf16/tile_kernels.h"

namespace apam::kernels::cpu {

const TileKernels16& dot_tiles() {
  static constexpr TileKernels16 table = tile_table<DotUnit>();
  return table;
}

}  // namespace apam::kernels::cpu
