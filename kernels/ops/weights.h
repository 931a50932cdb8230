// The weights that a product reads: float32, and perhaps their copy in bfloat16.
#pragma once

#include "kernels/runtime/span.h"

namespace apam::kernels {

/// `rounded` is empty, or `values` rounded to bfloat16: a copy that the caller keeps current, so that a kernel of a problem in
/// bfloat16 need not round the weights in each call. Both give the same bits. Problems in float32 ignore it.
struct Weights {
  Weights(ConstSpan<float> w, ConstSpan<BFloat16> copy = {})  // NOLINT(google-explicit-constructor): weights without a copy
      : values(w), rounded(copy) {}
  Weights(Span<float> w) : values(w) {}  // NOLINT(google-explicit-constructor)

  const float* data() const { return values.data(); }
  std::size_t size() const { return values.size(); }

  ConstSpan<float> values;
  ConstSpan<BFloat16> rounded;
};

}  // namespace apam::kernels
