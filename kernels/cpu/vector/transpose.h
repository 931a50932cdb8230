// Matrix transpose in blocks of 4 x 4. One cache line of every row is done before the next, and the following line is
// prefetched, since rows that are far apart would otherwise miss one by one.
#pragma once

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// Four rows of four, `stride` floats apart.
template <class V>
inline __attribute__((always_inline)) void transpose_4x4(const float* from, std::int64_t stride, float* to,
                                                         std::int64_t to_stride) {
  using Quad = float __attribute__((vector_size(16)));
  Quad row[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) __builtin_memcpy(&row[i], from + i * stride, sizeof(Quad));
  const Quad low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5),
             high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  const Quad low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5),
             high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const Quad transposed[4] = {
      __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
      __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) __builtin_memcpy(to + i * to_stride, &transposed[i], sizeof(Quad));
}

template <class V>
void transpose(const Matrix& from, float* to, std::int64_t to_stride) {
  const std::int64_t whole_rows = from.rows / 4 * 4, whole_columns = from.columns / 4 * 4;
  for (std::int64_t line = 0; line < whole_columns; line += kLineFloats) {
    const std::int64_t end = line + kLineFloats < whole_columns ? line + kLineFloats : whole_columns;
    for (std::int64_t i = 0; i < whole_rows; i += 4) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) __builtin_prefetch(from.at + (i + k) * from.stride + end + kLineFloats);
      for (std::int64_t j = line; j < end; j += 4) {
        transpose_4x4<V>(from.at + i * from.stride + j, from.stride, to + j * to_stride + i, to_stride);
      }
    }
  }
  for (std::int64_t i = 0; i < from.rows; ++i) {
    for (std::int64_t j = i < whole_rows ? whole_columns : 0; j < from.columns; ++j) {
      to[j * to_stride + i] = from.at[i * from.stride + j];
    }
  }
}

}  // namespace apam::kernels::cpu
