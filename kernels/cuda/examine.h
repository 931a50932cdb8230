// Looking for NaN and infinities in results that a thread holds.
#pragma once

#include <limits>

#include "kernels/cuda/elements.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

/// Lowers `place`, unless it is null, to the index of the first of these values that is not finite; their indices are first,
/// ...
template <int count>
DEVICE void examine(std::int64_t* place, std::int64_t first, const Pack<float, count>& values) {
  if (place == nullptr) return;
#pragma unroll
  for (int i = 0; i < count; ++i) {
    if (!(fabsf(values.values[i]) <= std::numeric_limits<float>::max())) lower_to(place, first + i);
  }
}

}  // namespace apam::kernels::cuda
