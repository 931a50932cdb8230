// Convolution by direct products, for every problem: any filter, stride, padding and number of channels.
#pragma once

#include "kernels/cpu/gather_product.h"
#include "kernels/cpu/weight_product.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cpu {

/// x -> y: each output pixel reads all taps of the filter.
GatherShape forward_shape(const Conv2d::Problem& problem);

/// dy -> dx: the pixels of dx are split into stride * stride phases, each with its own taps.
GatherShape backward_input_shape(const Conv2d::Problem& problem);

WeightShape backward_weight_shape(const Conv2d::Problem& problem);

}  // namespace apam::kernels::cpu
