// The vector kernels for AVX2, compiled with its flags; see isa.h.
#include "kernels/cpu/vector/avx2.h"

#include "kernels/cpu/vector/all.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {

const Isa& avx2_isa() {
  static constexpr Isa table = isa_table<Avx2>();
  return table;
}

}  // namespace apam::kernels::cpu
