// When to write results with non-temporal stores. They avoid write-allocate (reading a cache line that is then overwritten
// completely), and a large result does not evict data that is needed sooner.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

constexpr std::int64_t kMinStreamedFloats = 1 << 20;  // 4 MiB; a smaller result may still be cached when it is read

/// Whether to use non-temporal stores for (rows, columns) floats: a large result whose rows are whole cache lines.
inline bool worth_streaming(const float* to, std::int64_t rows, std::int64_t columns) {
  constexpr std::uintptr_t kLineBytes = kLineFloats * sizeof(float);
  return rows * columns >= kMinStreamedFloats && columns % kLineFloats == 0 &&
         reinterpret_cast<std::uintptr_t>(to) % kLineBytes == 0;
}

}  // namespace apam::kernels::cpu
