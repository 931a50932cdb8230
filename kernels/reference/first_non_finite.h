// The contract of FirstNonFinite, for the naive loops.
#pragma once

#include <algorithm>

#include "kernels/ops/first_non_finite.h"
#include "kernels/runtime/finite.h"

namespace apam::kernels::reference {

/// Lowers `place`, unless it is empty, to the index of the first value that is NaN or infinite.
inline void lower_to_first_non_finite(ConstSpan<float> values, FirstNonFinite place) {
  const auto size = static_cast<std::int64_t>(values.size());
  if (place.empty()) return;
  const std::int64_t first = first_non_finite(values.data(), size);
  if (first < size) *place.data() = std::min(*place.data(), first);
}

}  // namespace apam::kernels::reference
