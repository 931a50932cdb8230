// The table of this provider: hand-written kernels that support every problem and pass, on default_isa().
#include "kernels/cpu/make.h"
#include "kernels/providers.h"

namespace apam::kernels::cpu {
namespace {

template <class Op>
constexpr std::array<Implementation<Op>, 1> kTable{
    Implementation<Op>{"ours", DeviceKind::cpu, [](const typename Op::Problem&, typename Op::Pass) { return true; },
                       [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
                         return make(exec, problem, pass, default_isa());
                       }}};

}  // namespace

Tables tables() {
  return make_tables([]<class Op>() { return std::span<const Implementation<Op>>(kTable<Op>); });
}

}  // namespace apam::kernels::cpu
