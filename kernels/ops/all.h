// Every operation, for code that walks them all.
#pragma once

#include "kernels/ops/add.h"
#include "kernels/ops/avg_pool.h"
#include "kernels/ops/batch_norm.h"
#include "kernels/ops/conv2d.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/optimizer_step.h"
#include "kernels/ops/relu.h"
#include "kernels/ops/scale.h"
#include "kernels/ops/softmax_cross_entropy.h"

namespace apam::kernels {

template <class... Ops>
struct Operations {};

/// The one list of operations.
using AllOperations =
    Operations<Conv2d, BatchNorm, Relu, Add, Scale, AvgPool, Linear, SoftmaxCrossEntropy, OptimizerStep, RunningAverage>;

/// Calls visit.template operator()<Op>() for every operation.
template <class Visitor, class... Ops>
void for_each_operation(Visitor&& visit, Operations<Ops...>) {
  (visit.template operator()<Ops>(), ...);
}
template <class Visitor>
void for_each_operation(Visitor&& visit) {
  for_each_operation(visit, AllOperations{});
}

/// Throws InputError when a selection names an operation, pass or provider that no table of this build has.
void check_selection(const KernelSelection& selection);

/// Throws DeviceError, naming the operations, when some have no kernel for this kind of device in this build.
void check_kernels_for(DeviceKind device);

}  // namespace apam::kernels
