// Results written past the caches, with non-temporal stores. A line that is stored to in the ordinary way is read from
// memory first, though nothing of it is kept; and what is larger than the caches drives out what would be needed sooner.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

constexpr std::int64_t kLeastStreamedFloats = 1 << 20;  // 4 MiB; a smaller result may still be cached when it is read

/// Whether that serves for rows of `columns` floats: many, and each of whole cache lines.
inline bool worth_streaming(const float* to, std::int64_t rows, std::int64_t columns) {
  constexpr std::uintptr_t kLineBytes = kLineFloats * sizeof(float);
  return rows * columns >= kLeastStreamedFloats && columns % kLineFloats == 0 &&
         reinterpret_cast<std::uintptr_t>(to) % kLineBytes == 0;
}

}  // namespace apam::kernels::cpu
