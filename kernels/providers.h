// The providers' tables. Each provider's folder defines its tables(); a provider that is not built is replaced by the
// absent.cpp in its folder, with empty tables. implementations.cpp joins them in the order in which `auto` ranks ties.
#pragma once

#include <string>
#include <string_view>

#include "kernels/ops/all.h"

namespace apam::kernels {

/// Tables with table.template operator()<Op>() for each operation; a provider leaves the span empty for what it does not have.
template <class MakeTable>
Tables make_tables(MakeTable table) {
  Tables tables;
  for_each_operation([&]<class Op>() { std::get<Table<Op>>(tables) = table.template operator()<Op>(); });
  return tables;
}

namespace cudnn {
Tables tables();
/// "9.19.0, PATH" of the library, or why it cannot be used: "not built", "not found: ...".
std::string status();
}  // namespace cudnn
namespace cuda {
Tables tables();
}
namespace onednn {
Tables tables();
}
namespace cpu {
Tables tables();
/// Name of default_isa(), kernels/cpu/isa.h.
std::string_view instruction_set();
/// Whether its element-wise kernels, such as optimizer steps, round like those of other instruction sets with fused
/// multiply-add.
bool has_fused_multiply_add();
const std::string& amx_absence();  // kernels/cpu/bf16/amx_support.h
}  // namespace cpu
namespace reference {
Tables tables();
}

}  // namespace apam::kernels
