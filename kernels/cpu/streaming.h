// When to write results with non-temporal stores. They avoid write-allocate (reading a cache line that is then overwritten
// completely), and a large result does not evict data that is needed sooner.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

constexpr std::int64_t kMinStreamedBytes = 4 << 20;  // a smaller result may still be cached when it is read

/// Whether to use non-temporal stores for (rows, columns): a large result whose rows are whole cache lines.
template <class T>
bool worth_streaming(const T* to, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kLineBytes = kLineFloats * sizeof(float);
  const std::int64_t row_bytes = columns * std::int64_t{sizeof(T)};
  return rows * row_bytes >= kMinStreamedBytes && row_bytes % kLineBytes == 0 &&
         reinterpret_cast<std::uintptr_t>(to) % std::uintptr_t{kLineBytes} == 0;
}

}  // namespace apam::kernels::cpu
