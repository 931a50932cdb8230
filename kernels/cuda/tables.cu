#include <array>

#include "kernels/cuda/make.h"
#include "kernels/providers.h"

namespace apam::kernels::cuda {
namespace {

template <class Op>
constexpr std::array<Implementation<Op>, 1> kTable{
    Implementation<Op>{Target::provider, Target::device, [](const typename Op::Problem&, typename Op::Pass) { return true; },
                       [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
                         return make(exec, problem, pass, Target());
                       }}};

}  // namespace

Tables tables_for(Target) {
  return make_tables([]<class Op>() { return Table<Op>(kTable<Op>); });
}

}  // namespace apam::kernels::cuda
