// Vectors of 16 floats: AVX-512F. Included only by build_avx512.cpp; the unnamed namespace is intentional, see isa.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/vector/tile_shapes.h"

namespace apam::kernels::cpu {
namespace {

struct Avx512 {
  static constexpr const char* name = "avx512";
  static constexpr int width = 16;
  static constexpr bool fused = true;
  static constexpr bool streams = true;
  using Tiles = TileShapes<TileShape<6, 4>, TileShape<5, 5>, TileShape<8, 3>, TileShape<12, 2>, TileShape<16, 1>>;
  static constexpr int window_vectors = 3;
  static constexpr int window_rows = 9;  // of window_product's tile, which keeps one pointer per row in a register
  using Float = __m512;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set1(float value) { return _mm512_set1_ps(value); }
  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Float value) { _mm512_storeu_ps(to, value); }
  /// bfloat16 as the upper half of a float; stores round to nearest, ties to even.
  static Float load(const std::uint16_t* from) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
  static void store(std::uint16_t* to, Float value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), round(value)); }
  static void stream(std::uint16_t* to, Float value) { _mm256_stream_si256(reinterpret_cast<__m256i*>(to), round(value)); }
  /// Non-temporal store to an aligned address; ordered before later stores by store_fence().
  static void stream(float* to, Float value) { _mm512_stream_ps(to, value); }
  static void store_fence() { _mm_sfence(); }
  /// Only the first `lanes` elements (1 .. width); the other lanes read as zero, and their memory is not accessed.
  static Float load(const float* from, int lanes) { return _mm512_maskz_loadu_ps(mask(lanes), from); }
  static void store(float* to, Float value, int lanes) { _mm512_mask_storeu_ps(to, mask(lanes), value); }

  static Float load(const std::uint16_t* from, int lanes) {
    alignas(32) std::uint16_t bits[width] = {};
    __builtin_memcpy(bits, from, static_cast<unsigned>(lanes) * sizeof(std::uint16_t));
    return load(bits);
  }
  static void store(std::uint16_t* to, Float value, int lanes) {
    alignas(32) std::uint16_t bits[width];
    store(bits, value);
    __builtin_memcpy(to, bits, static_cast<unsigned>(lanes) * sizeof(std::uint16_t));
  }

  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float sqrt(Float a) { return _mm512_sqrt_ps(a); }
  /// b if either is NaN.
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  /// 0 where a is denormal, else a.
  static Float flush_denormal(Float a) {
    return _mm512_maskz_mov_ps(_mm512_test_epi32_mask(_mm512_castps_si512(a), _mm512_set1_epi32(0x7F800000)), a);
  }
  /// max(0, a); NaN stays NaN.
  static Float relu(Float a) { return _mm512_max_ps(zero(), a); }
  /// 0 where gate <= 0, else a.
  static Float where_open(Float gate, Float a) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(gate, zero(), _CMP_NLE_UQ), a); }
  /// One bit per lane, in two bytes: clear where gate <= 0.
  static void store_gate(std::uint8_t* to, Float gate) {
    const __mmask16 bits = _mm512_cmp_ps_mask(gate, zero(), _CMP_NLE_UQ);
    __builtin_memcpy(to, &bits, sizeof bits);
  }
  /// a where the bit is set, else 0.
  static Float where_gate(const std::uint8_t* from, Float a) {
    __mmask16 bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    return _mm512_maskz_mov_ps(bits, a);
  }

 private:
  static Float widen(__m256i bits) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
  static __m256i round(Float value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i rounded = _mm512_mask_or_epi32(nearest, nan, bits, _mm512_set1_epi32(0x00400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
  }
  static __mmask16 mask(int lanes) { return static_cast<__mmask16>((1U << static_cast<unsigned>(lanes)) - 1U); }
};

}  // namespace
}  // namespace apam::kernels::cpu
