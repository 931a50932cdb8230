// The vector kernels for any processor; see isa.h.
#include "kernels/cpu/vector/portable.h"

#include "kernels/cpu/vector/all.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {

const Isa& portable_isa() {
  static constexpr Isa table = isa_table<Portable>();
  return table;
}

}  // namespace apam::kernels::cpu
