#include <array>

#include "kernels/cuda/conv2d.h"
#include "kernels/cuda/make.h"
#include "kernels/providers.h"

namespace apam::kernels::cuda {
namespace {

template <class Op>
constexpr Implementation<Op> kNative{Target::provider, Target::device,
                                     [](const typename Op::Problem&, typename Op::Pass) { return true; },
                                     [](Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
                                       return make(exec, problem, pass, Target());
                                     }};

/// Not yet measured on a GPU, and therefore not a candidate of `auto`.
constexpr Implementation<Conv2d> kByTma{
    Target::tma_provider, Target::device, tma_supports,
    [](Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass) { return make_by_tma(exec, problem, pass, Target()); },
    true};

template <class Op>
constexpr std::array kTable{kNative<Op>};
template <>
constexpr std::array kTable<Conv2d>{kNative<Conv2d>, kByTma};

}  // namespace

Tables tables_for(Target) {
  return make_tables([]<class Op>() { return Table<Op>(kTable<Op>); });
}

}  // namespace apam::kernels::cuda
