// The table of this folder: hand-written kernels for every problem, on the processor's best instruction set.
#include "kernels/cpu/make.h"
#include "kernels/providers.h"

namespace apam::kernels::cpu {

template <class Op>
std::span<const Implementation<Op>> implementations() {
  static constexpr std::array<Implementation<Op>, 1> table{
      Implementation<Op>{"ours", DeviceKind::cpu, [](const typename Op::Problem&, typename Op::Pass) { return true; },
                         [](Exec& exec, const typename Op::Problem& problem) { return make(exec, problem, default_isa()); }}};
  return table;
}

template std::span<const Implementation<Conv2d>> implementations<Conv2d>();
template std::span<const Implementation<BatchNorm>> implementations<BatchNorm>();
template std::span<const Implementation<Relu>> implementations<Relu>();
template std::span<const Implementation<Add>> implementations<Add>();
template std::span<const Implementation<Scale>> implementations<Scale>();
template std::span<const Implementation<AvgPool>> implementations<AvgPool>();
template std::span<const Implementation<Linear>> implementations<Linear>();
template std::span<const Implementation<SoftmaxCrossEntropy>> implementations<SoftmaxCrossEntropy>();
template std::span<const Implementation<OptimizerStep>> implementations<OptimizerStep>();
template std::span<const Implementation<RunningAverage>> implementations<RunningAverage>();

}  // namespace apam::kernels::cpu
