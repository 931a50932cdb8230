// The table of this folder. oneDNN has no primitive for the loss (a softmax that takes labels) nor for optimizer steps.
#include "kernels/onednn/make.h"
#include "kernels/providers.h"

namespace apam::kernels::onednn {
namespace {

template <class Op>
concept Offered = requires(Exec& exec, const typename Op::Problem& problem) {
  make(exec, problem);
};

template <class Op>
concept Restricted = requires(const typename Op::Problem& problem, typename Op::Pass pass) {
  supports(problem, pass);
};

template <class Op>
bool supported(const typename Op::Problem& problem, typename Op::Pass pass) {
  if constexpr (Restricted<Op>) return supports(problem, pass);
  return true;
}

}  // namespace

template <class Op>
std::span<const Implementation<Op>> implementations() {
  if constexpr (Offered<Op>) {
    static constexpr std::array<Implementation<Op>, 1> table{
        Implementation<Op>{"onednn", DeviceKind::cpu, supported<Op>,
                           [](Exec& exec, const typename Op::Problem& problem) { return make(exec, problem); }}};
    return table;
  }
  return {};
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

}  // namespace apam::kernels::onednn
