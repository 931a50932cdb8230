// Vectors of 8 floats: AVX2 and FMA. Included only by build_avx2.cpp; the unnamed namespace is intentional, see isa.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/vector/tile_shapes.h"

namespace apam::kernels::cpu {
namespace {

struct Avx2 {
  static constexpr const char* name = "avx2";
  static constexpr int width = 8;
  static constexpr bool streams = true;
  using Tiles = TileShapes<TileShape<6, 2>, TileShape<12, 1>>;
  static constexpr int window_vectors = 2;
  static constexpr int window_rows = 6;  // of window_product's tile, which keeps one pointer per row in a register
  using Float = __m256;

  static Float zero() { return _mm256_setzero_ps(); }
  static Float set1(float value) { return _mm256_set1_ps(value); }
  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Float value) { _mm256_storeu_ps(to, value); }
  /// Non-temporal store to an aligned address; ordered before later stores by store_fence().
  static void stream(float* to, Float value) { _mm256_stream_ps(to, value); }
  static void store_fence() { _mm_sfence(); }
  /// Only the first `lanes` elements (1 .. width); the other lanes read as zero, and their memory is not accessed.
  static Float load(const float* from, int lanes) { return _mm256_maskload_ps(from, mask(lanes)); }
  static void store(float* to, Float value, int lanes) { _mm256_maskstore_ps(to, mask(lanes), value); }

  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float sqrt(Float a) { return _mm256_sqrt_ps(a); }
  /// b if either is NaN.
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  /// 0 where |a| < bound, else a; NaN stays NaN.
  static Float where_at_least(Float bound, Float a) {
    const Float size = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
    return _mm256_and_ps(_mm256_cmp_ps(size, bound, _CMP_NLT_UQ), a);
  }
  /// max(0, a); NaN stays NaN.
  static Float relu(Float a) { return _mm256_max_ps(zero(), a); }
  /// 0 where gate <= 0, else a.
  static Float where_open(Float gate, Float a) { return _mm256_and_ps(_mm256_cmp_ps(gate, zero(), _CMP_NLE_UQ), a); }
  /// One bit per lane, in a byte: clear where gate <= 0.
  static void store_gate(std::uint8_t* to, Float gate) {
    *to = static_cast<std::uint8_t>(_mm256_movemask_ps(_mm256_cmp_ps(gate, zero(), _CMP_NLE_UQ)));
  }
  /// a where the bit is set, else 0.
  static Float where_gate(const std::uint8_t* from, Float a) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(*from), bit);
    return _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit)), a);
  }

 private:
  static __m256i mask(int lanes) {
    alignas(32) static constexpr std::int32_t kBits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kBits + 8 - lanes));
  }
};

}  // namespace
}  // namespace apam::kernels::cpu
