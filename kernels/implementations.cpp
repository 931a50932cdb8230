// Joins the providers' tables into one list an operation.
#include "kernels/providers.h"

namespace apam::kernels {
namespace {

template <class Op>
std::vector<Implementation<Op>> join() {
  std::vector<Implementation<Op>> all;
  for (const Tables& tables : {cudnn::tables(), cuda::tables(), cpu::tables(), onednn::tables(), reference::tables()}) {
    const auto& table = std::get<std::span<const Implementation<Op>>>(tables);
    all.insert(all.end(), table.begin(), table.end());
  }
  return all;
}

}  // namespace

template <class Op>
std::span<const Implementation<Op>> implementations() {
  static const std::vector<Implementation<Op>> all = join<Op>();
  return all;
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

}  // namespace apam::kernels
