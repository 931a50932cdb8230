// Convolution in bfloat16 is computed in products of tiles:
//   C (16, 16) float32 += A (16, 32) bfloat16 * B (32, 16) bfloat16
// Row p of B's tile holds rows 2p and 2p + 1 of B in pairs: (16 pairs, 16 columns, 2). A tile is contiguous in memory.
//
// The kernels are templates on the unit that computes the products. A unit is a struct in an unnamed namespace (see isa.h) with
// these members:
//   name, rate                     of TileKernels16
//   static configure(), release()  on every thread, before its first and after its last product
//   multiply_block<kRows, kColumns>(BlockOperands, TileSteps, SumTiles, first)
//                                  kRows x kColumns tiles of C (+)= sum over the steps of A * B; at most 2 x 2 or 4 x 1
//   static round(from, add, to)    to (16) bfloat16 = from (16) float32, or old value + from, rounded
// An object of the unit lives during one call of a kernel.
//
// amx_unit.h has eight tiles as registers, and one instruction per product; emulated_unit.h is the same in plain C++; both
// become units in tile_block.h. Their arithmetic, per element of C and product, with denormal operands and results taken as
// zero of the same sign:
//   even = odd = 0
//   for p in 0 .. 15: even += a[2p] * b[p][0], odd += a[2p + 1] * b[p][1]   (fused: rounded once)
//   c += (even + odd)
// (Intel, Software Developer's Manual, TDPBF16PS.) dot_unit.h has no such registers and accumulates in the order
//   for p in 0 .. 15: c += a[2p + 1] * b[p][1], c += a[2p] * b[p][0]        (fused; VDPBF16PS)
// with the same treatment of denormals. All roundings are to nearest, ties to even; round() also takes denormal values as zero.
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
