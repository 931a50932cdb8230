// The tile unit: eight registers ("tiles") of 16 rows of 64 bytes, and one product:
//   C (16, 16) float32 += A (16, 32) bfloat16 * B (32, 16) bfloat16
// Row p of B's tile holds rows 2p and 2p + 1 of B in pairs: (16 pairs, 16 columns, 2).
//
// The kernels are templates on the unit. A unit is a struct in an unnamed namespace (see isa.h) with these members; T, C, A and
// B are tile numbers, strides are in bytes:
//   name                           "amx" or "emulated"
//   static configure(), release()  on every thread, before its first and after its last use of tiles
//   zero<T>()
//   load<T>(from, stride)          16 rows of 64 bytes
//   multiply<C, A, B>()
//   store<T>(to, stride)           the same
//   static round(from, add, to)    to (16) bfloat16 = from (16) float32, or old value + from, rounded
//
// An object of the unit holds the tiles during one call of a kernel; their values do not outlive it.
//
// Arithmetic of multiply, per element of C, with denormal operands and results taken as zero of the same sign:
//   even = odd = 0
//   for p in 0 .. 15: even += a[2p] * b[p][0], odd += a[2p + 1] * b[p][1]   (fused: rounded once)
//   c += (even + odd)
// All roundings are to nearest, ties to even; round() also takes denormal values as zero. (Intel, Software Developer's Manual,
// TDPBF16PS.)
#pragma once

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

inline constexpr int kTileRows = 16;     // of A and C
inline constexpr int kTileColumns = 16;  // of B and C
inline constexpr int kTileDepth = 32;    // columns of A, rows of B
inline constexpr int kTilePairs = kTileDepth / 2;
inline constexpr int kTileBits = kTileRows * kTileDepth;    // elements of a tile of A or B
inline constexpr int kTileBytes = kTileBits * 2;            // their size
inline constexpr int kTileSums = kTileRows * kTileColumns;  // elements of a tile of C
inline constexpr int kTileStride = 64;                      // bytes from row to row, if a tile is contiguous

}  // namespace apam::kernels::cpu
