// Takes the place of this folder's kernels in a build without them: empty tables.
#include "kernels/ops/all.h"
#include "kernels/providers.h"

namespace apam::kernels::onednn {

template <class Op>
std::span<const Implementation<Op>> implementations() {
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
