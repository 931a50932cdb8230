// Copies of a few elements, without a call of memcpy. Included also by files that are compiled for an instruction set; the
// unnamed namespace is intentional, see isa.h.
#pragma once

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {
namespace {

/// Pieces of kLength elements; the last overlaps the one before it.
template <int kLength>
inline void copy_pieces(const Bits16* from, int count, Bits16* to) {
  constexpr int kBytes = kLength * sizeof(Bits16);
  for (int i = 0; i + kLength < count; i += kLength) __builtin_memcpy(to + i, from + i, kBytes);
  __builtin_memcpy(to + count - kLength, from + count - kLength, kBytes);
}

/// to (count) = from (count).
inline void short_copy(const Bits16* from, int count, Bits16* to) {
  if (count >= 16) return copy_pieces<16>(from, count, to);
  if (count >= 8) return copy_pieces<8>(from, count, to);
  if (count >= 4) return copy_pieces<4>(from, count, to);
  for (int i = 0; i < count; ++i) to[i] = from[i];
}

}  // namespace
}  // namespace apam::kernels::cpu
