// The naive loops in float: provider "reference", which supports everything and is chosen last.
#include <array>

#include "kernels/providers.h"
#include "kernels/reference/make.h"

namespace apam::kernels::reference {
namespace {

template <class Op>
constexpr std::array<Implementation<Op>, 1> kTable{Implementation<Op>{
    "reference", DeviceKind::cpu, [](const typename Op::Problem&, typename Op::Pass) { return true; },
    [](Exec&, const typename Op::Problem& problem, typename Op::Pass pass) { return make<Op>(problem, pass); }}};

}  // namespace

Tables tables() {
  return make_tables([]<class Op>() { return Table<Op>(kTable<Op>); });
}

}  // namespace apam::kernels::reference
