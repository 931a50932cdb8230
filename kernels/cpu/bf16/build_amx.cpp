// The kernels on AMX, compiled with its flags; see isa.h.
#include "kernels/cpu/bf16/amx_unit.h"
#include "kernels/cpu/bf16/builds.h"
#include "kernels/cpu/bf16/tile_block.h"
#include "kernels/cpu/bf16/tile_kernels.h"

namespace apam::kernels::cpu {

const TileKernels16& amx_tiles() {
  static constexpr TileKernels16 table = tile_table<TileBlock<AmxUnit>>();
  return table;
}

}  // namespace apam::kernels::cpu
