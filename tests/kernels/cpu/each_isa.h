// Test suites that run once per instruction set of this processor.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <span>
#include <string>
#include <type_traits>

#include "kernels/cpu/isa.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cpu {

inline void PrintTo(const Isa* isa, std::ostream* out) { *out << isa->name; }

/// Those that have different kernels for a problem.
template <class Problem>
std::span<const Isa* const> isas_for(const Problem& problem) {
  if constexpr (std::is_same_v<Problem, Conv2d::Problem>) {
    if (problem.type == DType::bfloat16) return all_isas();
  }
  return available_isas();
}

inline auto each_isa() { return testing::ValuesIn(available_isas().begin(), available_isas().end()); }
inline std::string isa_name(const testing::TestParamInfo<const Isa*>& isa) { return isa.param->name; }

}  // namespace apam::kernels::cpu
