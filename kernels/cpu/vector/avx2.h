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
  static constexpr bool fused = true;
  static constexpr bool streams = true;
  using Tiles = TileShapes<TileShape<6, 2>, TileShape<12, 1>>;
  static constexpr int window_vectors = 2;
  static constexpr int window_rows = 6;  // of window_product's tile, which keeps one pointer per row in a register
  using Float = __m256;

  static Float zero() { return _mm256_setzero_ps(); }
  static Float set1(float value) { return _mm256_set1_ps(value); }
  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Float value) { _mm256_storeu_ps(to, value); }
  /// bfloat16 as the upper half of a float; stores round to nearest, ties to even.
  static Float load(const std::uint16_t* from) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))); }
  static void store(std::uint16_t* to, Float value) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), round(value)); }
  static void stream(std::uint16_t* to, Float value) { _mm_stream_si128(reinterpret_cast<__m128i*>(to), round(value)); }
  /// Non-temporal store to an aligned address; ordered before later stores by store_fence().
  static void stream(float* to, Float value) { _mm256_stream_ps(to, value); }
  static void store_fence() { _mm_sfence(); }
  /// Only the first `lanes` elements (1 .. width); the other lanes read as zero, and their memory is not accessed.
  static Float load(const float* from, int lanes) { return _mm256_maskload_ps(from, mask(lanes)); }
  static void store(float* to, Float value, int lanes) { _mm256_maskstore_ps(to, mask(lanes), value); }

  static Float load(const std::uint16_t* from, int lanes) {
    alignas(16) std::uint16_t bits[width] = {};
    __builtin_memcpy(bits, from, static_cast<unsigned>(lanes) * sizeof(std::uint16_t));
    return load(bits);
  }
  static void store(std::uint16_t* to, Float value, int lanes) {
    alignas(16) std::uint16_t bits[width];
    store(bits, value);
    __builtin_memcpy(to, bits, static_cast<unsigned>(lanes) * sizeof(std::uint16_t));
  }

  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float sqrt(Float a) { return _mm256_sqrt_ps(a); }
  /// b if either is NaN.
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  /// 0 where a is denormal, else a.
  static Float flush_denormal(Float a) {
    const Float size = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
    return _mm256_and_ps(_mm256_cmp_ps(size, _mm256_set1_ps(0x1p-126F), _CMP_NLT_UQ), a);
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
  static Float widen(__m128i bits) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)); }
  static __m128i round(Float value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i rounded = _mm256_srli_epi32(_mm256_blendv_epi8(nearest, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
  }
  static __m256i mask(int lanes) {
    alignas(32) static constexpr std::int32_t kBits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kBits + 8 - lanes));
  }
};

}  // namespace
}  // namespace apam::kernels::cpu
