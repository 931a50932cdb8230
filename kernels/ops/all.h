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

/// Calls visit.template operator()<Op>() for every operation.
template <class Visitor>
void for_each_operation(Visitor&& visit) {
  visit.template operator()<Conv2d>();
  visit.template operator()<BatchNorm>();
  visit.template operator()<Relu>();
  visit.template operator()<Add>();
  visit.template operator()<Scale>();
  visit.template operator()<AvgPool>();
  visit.template operator()<Linear>();
  visit.template operator()<SoftmaxCrossEntropy>();
  visit.template operator()<OptimizerStep>();
  visit.template operator()<RunningAverage>();
}

/// Throws InputError when a selection names an operation, pass or provider that no table of this build has.
void check_selection(const KernelSelection& selection);

/// Throws DeviceError, naming the operations, when some have no kernel for this kind of device in this build.
void check_kernels_for(DeviceKind device);

}  // namespace apam::kernels
