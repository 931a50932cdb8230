// Sums and maxima over the lanes of a warp and the threads of a block. The order of additions is fixed, so results are the same
// in every run; all participants receive the result.
#pragma once

#include <cmath>

#include <simt/macros.h>
#include <simt/shared.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

DEVICE float warp_sum(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += shuffle_xor(value, distance);
  return value;
}

/// The largest value that is not NaN; NaN if all are.
DEVICE float warp_max(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = fmaxf(value, shuffle_xor(value, distance));
  return value;
}

/// `scratch` has one element per warp, and may be used again at once.
template <int threads>
DEVICE float block_sum(float value, Shared<float> scratch) {
  value = warp_sum(value);
  if (lane() == 0) scratch[warp()] = value;
  sync_block();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < threads / 32; ++i) sum += scratch[i];
  sync_block();
  return sum;
}

}  // namespace apam::kernels::cuda
