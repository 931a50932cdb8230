// Products on AVX512-BF16: vdpbf16ps adds the two products of a pair of bfloat16 to a float32, in 16 lanes. Included only by
// build_dot.cpp; the unnamed namespace is intentional, see isa.h.
//
// A pair of A is broadcast to all lanes; a row of B's tile, 16 pairs, is one vector. 16 sums in registers hide the latency: 8
// rows of A times two tiles of B, at 10 loads per 16 products, or 16 rows times one tile, at 17.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/bf16/round_avx512.h"
#include "kernels/cpu/bf16/tables.h"

namespace apam::kernels::cpu {
namespace {

struct DotUnit : RoundAvx512 {
  static constexpr const char* name = "avx512_bf16";
  static constexpr int rate = 2;  // on Zen 5
  static void configure() {}
  static void release() {}

  template <int kRows, int kColumns>
  static void multiply_block(const BlockOperands<kRows, kColumns>& in, const TileSteps& steps, const SumTiles<kColumns>& sums,
                             bool first) {
    constexpr int kPart = 16 / kColumns;  // rows
    for (int row = 0; row < kRows; ++row) {
      for (int part = 0; part < kTileRows; part += kPart) {
        float* to[kColumns];
        for (int j = 0; j < kColumns; ++j) to[j] = sums.column[j] + row * sums.row + part * kTileColumns;
        multiply_rows<kPart, kColumns>(in.a[row] + part * kTileDepth, in.b, in.b_scale, steps, to, first);
      }
    }
  }

 private:
  template <int kRows, int kColumns>
  static void multiply_rows(const Bits16* a, const Bits16* const (&b)[kColumns], int b_scale, const TileSteps& steps,
                            float* const (&to)[kColumns], bool first) {
    __m512 sums[kRows][kColumns];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) sums[i][j] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(to[j] + i * kTileColumns);
    }
    for (int step = 0; step < steps.count; ++step) {
      const Bits16* at_a = a + steps.at[step].a;
      const std::int64_t at_b = std::int64_t{steps.at[step].b} * b_scale;
#pragma GCC unroll 2
      for (int pair = 0; pair < kTilePairs; ++pair) {
        __m512bh columns[kColumns];
#pragma GCC unroll 2
        for (int j = 0; j < kColumns; ++j) {
          columns[j] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b[j] + at_b + pair * 2 * kTileColumns));
        }
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          int bits = 0;
          __builtin_memcpy(&bits, at_a + i * kTileDepth + 2 * pair, sizeof bits);
          const auto row = reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
#pragma GCC unroll 2
          for (int j = 0; j < kColumns; ++j) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], row, columns[j]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) _mm512_storeu_ps(to[j] + i * kTileColumns, sums[i][j]);
    }
  }
};

}  // namespace
}  // namespace apam::kernels::cpu
