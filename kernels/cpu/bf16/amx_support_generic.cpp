// Processors other than x86-64: no AMX.
#include "kernels/cpu/bf16/amx_support.h"

namespace apam::kernels::cpu {

const std::string& amx_absence() {
  static const std::string reason = "the processor has no AMX";
  return reason;
}

const TileKernels16* available_amx_tiles() { return nullptr; }

}  // namespace apam::kernels::cpu
