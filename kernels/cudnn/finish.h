// Small kernels for what cuDNN's graphs leave: sums into existing values, and channels of batch norm that must show overflow.
#pragma once

#include "kernels/runtime/exec.h"

namespace apam::kernels::cudnn {

/// to += values, rounded once. `to` is float32 or bfloat16; `values` is float32 or of the type of `to`.
void add_to(const Exec& exec, In values, Out to);

/// Operands of a forward pass of batch norm that decide whether a channel is right.
struct CheckedChannels {
  ConstSpan<float> variance, gamma, beta;  // (C)
};

/// Sets y and inv_std of each channel with a number that is not finite in `checked` to NaN: cuDNN divides by an infinite
/// variance and gets beta, and its ReLU may drop NaN.
void show_overflow(const Exec& exec, const CheckedChannels& checked, Span<float> inv_std, Out y);

}  // namespace apam::kernels::cudnn
