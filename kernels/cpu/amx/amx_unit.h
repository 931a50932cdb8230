// The tile unit of the processor: AMX-TILE and AMX-BF16, and AVX512-BF16 to round. Included only by build_amx.cpp; the unnamed
// namespace is intentional, see isa.h.
//
// Inline assembly instead of intrinsics for tiles: GCC's are macros that accept literal tile numbers only, and that do not tell
// the compiler which memory they access.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/amx/tile_unit.h"

namespace apam::kernels::cpu {
namespace {

struct AmxUnit {
  static constexpr const char* name = "amx";

  /// All eight tiles: 16 rows of 64 bytes.
  static void configure() {
    struct alignas(64) Configuration {
      std::uint8_t palette, start_row, reserved[14];
      std::uint16_t row_bytes[16];
      std::uint8_t rows[16];
    };
    static constexpr Configuration all{1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    static_assert(sizeof all == 64);
    __asm__ volatile("ldtilecfg %0" : : "m"(all));
  }
  static void release() { __asm__ volatile("tilerelease"); }

  template <int T>
  static void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(T));
  }
  template <int T>
  static void load(const void* from, std::int64_t stride) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
  }
  template <int T>
  static void store(void* to, std::int64_t stride) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(T) : "memory");
  }
  /// In AT&T syntax the operands are B, A, C.
  template <int C, int A, int B>
  static void multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }

  static void round(const float* from, bool accumulate, Bits16* to) {
    auto* at = reinterpret_cast<__m256i*>(to);
    __m512 sum = _mm512_loadu_ps(from);
    if (accumulate) {
      const __m512i old = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at)), 16);
      sum = _mm512_add_ps(_mm512_castsi512_ps(old), sum);
    }
    _mm256_storeu_si256(at, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sum)));
  }
};

}  // namespace
}  // namespace apam::kernels::cpu
