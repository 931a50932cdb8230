// The kernels on AMX, compiled with its flags; see isa.h.
#include "kernels/cpu/amx/amx_unit.h"
#include "kernels/cpu/amx/builds.h"
#include "kernels/cpu/amx/tile_kernels.h"

namespace apam::kernels::cpu {

const TileKernels16& amx_tiles() {
  static constexpr TileKernels16 table = tile_table<AmxUnit>();
  return table;
}

}  // namespace apam::kernels::cpu
