// The table of this provider: hand-written kernels that support every problem and pass, on default_isa().
#include <array>

#include "kernels/cpu/make.h"
#include "kernels/providers.h"

namespace apam::kernels::cpu {
namespace {

template <class Op>
Table<Op> table() {
  if constexpr (Offered<Op>) {
    static constexpr std::array<Implementation<Op>, 1> kTable{
        Implementation<Op>{"native", DeviceKind::cpu, [](const typename Op::Problem&, typename Op::Pass) { return true; },
                           [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
                             return make(exec, problem, pass, default_isa());
                           }}};
    return kTable;
  }
  return {};
}

}  // namespace

std::string_view instruction_set() { return default_isa().name; }

bool has_fused_multiply_add() { return default_isa().fused; }

Tables tables() {
  return make_tables([]<class Op>() { return table<Op>(); });
}

}  // namespace apam::kernels::cpu
