#include "kernels/cpu/isa.h"

#include <cstdlib>
#include <string>

#include "kernels/runtime/error.h"

namespace apam::kernels::cpu {

const Isa& find_isa(std::string_view name) {
  std::string known;
  for (const Isa* isa : available_isas()) {
    if (isa->name == name) return *isa;
    known += (known.empty() ? "" : ", ") + std::string(isa->name);
  }
  fail<InputError>("APAM_ISA: no instruction set '{}' on this processor; available: {}", name, known);
}

const Isa& default_isa() {
  static const Isa& chosen = [&]() -> const Isa& {
    const char* wanted = std::getenv("APAM_ISA");
    return wanted == nullptr ? *available_isas().back() : find_isa(wanted);
  }();
  return chosen;
}

}  // namespace apam::kernels::cpu
