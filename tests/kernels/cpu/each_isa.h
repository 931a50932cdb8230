// Test suites that run once per instruction set of this processor.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "kernels/cpu/isa.h"

namespace apam::kernels::cpu {

inline void PrintTo(const Isa* isa, std::ostream* out) { *out << isa->name; }

inline auto each_isa() { return testing::ValuesIn(available_isas().begin(), available_isas().end()); }
inline std::string isa_name(const testing::TestParamInfo<const Isa*>& isa) { return isa.param->name; }

}  // namespace apam::kernels::cpu
