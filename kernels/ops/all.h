// The list of operations, and what follows from it.
#pragma once

#include <span>
#include <tuple>

#include "kernels/ops/add.h"
#include "kernels/ops/augment.h"
#include "kernels/ops/avg_pool.h"
#include "kernels/ops/batch_norm.h"
#include "kernels/ops/conv2d.h"
#include "kernels/ops/convert.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/optimizer_step.h"
#include "kernels/ops/relu.h"
#include "kernels/ops/running_average.h"
#include "kernels/ops/scale.h"
#include "kernels/ops/softmax_cross_entropy.h"

namespace apam::kernels {

template <class... Ops>
struct Operations {};

/// The one list of operations: tables of kernels, reports and tests follow from it. Its order is that of benchmarks and of
/// `apam info`.
using AllOperations = Operations<Conv2d, BatchNorm, Relu, Add, Scale, AvgPool, Linear, SoftmaxCrossEntropy, Convert, Augment,
                                 OptimizerStep, RunningAverage>;

/// Calls visit.template operator()<Op>() for every operation.
template <class Visitor, class... Ops>
void for_each_operation(Visitor&& visit, Operations<Ops...>) {
  (visit.template operator()<Ops>(), ...);
}
template <class Visitor>
void for_each_operation(Visitor&& visit) {
  for_each_operation(visit, AllOperations{});
}

namespace detail {
template <template <class> class Value, class List>
struct PerOperation;
template <template <class> class Value, class... Ops>
struct PerOperation<Value, Operations<Ops...>> {
  using type = std::tuple<Value<Ops>...>;
};
}  // namespace detail

/// A tuple of one Value<Op> per operation.
template <template <class> class Value>
using PerOperation = typename detail::PerOperation<Value, AllOperations>::type;

/// The implementations of `Op`, in the order in which `auto` ranks ties.
template <class Op>
using Table = std::span<const Implementation<Op>>;
using Tables = PerOperation<Table>;

}  // namespace apam::kernels
