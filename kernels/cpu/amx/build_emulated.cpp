// The kernels on the emulated tile unit, for tests on processors without AMX; see isa.h.
#include "kernels/cpu/amx/builds.h"
#include "kernels/cpu/amx/emulated_unit.h"
#include "kernels/cpu/amx/tile_kernels.h"

namespace apam::kernels::cpu {

const TileKernels16& emulated_tiles() {
  static constexpr TileKernels16 table = tile_table<EmulatedUnit>();
  return table;
}

}  // namespace apam::kernels::cpu
