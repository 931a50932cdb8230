// The table of this folder: hand-written kernels for every problem, on the processor's best instruction set.
#include "kernels/cpu/make.h"
#include "kernels/providers.h"

namespace apam::kernels::cpu {
namespace {

template <class Op>
constexpr std::array<Implementation<Op>, 1> kTable{
    Implementation<Op>{"native", DeviceKind::cpu, [](const typename Op::Problem&, typename Op::Pass) { return true; },
                       [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
                         return make(exec, problem, pass, default_isa());
                       }}};

}  // namespace

Tables tables() {
  return make_tables([]<class Op>() { return std::span<const Implementation<Op>>(kTable<Op>); });
}

}  // namespace apam::kernels::cpu
