// The vector kernels for AVX-512, compiled with its flags; see isa.h.
#include "kernels/cpu/vector/avx512.h"

#include "kernels/cpu/vector/all.h"
#include "kernels/cpu/vector/builds.h"

namespace apam::kernels::cpu {

const Isa& avx512_isa() {
  static constexpr Isa table = isa_table<Avx512>();
  return table;
}

}  // namespace apam::kernels::cpu
