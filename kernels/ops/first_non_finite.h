// Where an update leaves the place of a NaN or an infinity, so that no other pass over its results is needed.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/runtime/span.h"

namespace apam::kernels {

/// A number (1) in memory of the device, or empty. A kernel lowers it to the index of the first result that is NaN or infinite,
/// and leaves it if there is none or it is lower already: so it keeps the finding of an earlier update, and is kNone at first.
using FirstNonFinite = Span<std::int64_t>;
inline constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

}  // namespace apam::kernels
