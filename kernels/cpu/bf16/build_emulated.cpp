// The kernels on emulated tiles, for tests on processors without AMX; see isa.h.
#include "kernels/cpu/bf16/builds.h"
#include "kernels/cpu/bf16/emulated_unit.h"
#include "kernels/cpu/bf16/tile_block.h"
#include "kernels/cpu/bf16/tile_kernels.h"

namespace apam::kernels::cpu {

const TileKernels16& emulated_tiles() {
  static constexpr TileKernels16 table = tile_table<TileBlock<EmulatedUnit>>();
  return table;
}

}  // namespace apam::kernels::cpu
