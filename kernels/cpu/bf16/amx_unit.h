// The tiles of the processor: AMX-TILE and AMX-BF16. Included only by build_amx.cpp; the unnamed namespace is intentional, see
// isa.h.
//
// Inline assembly instead of intrinsics for tiles: GCC's are macros that accept literal tile numbers only, and that do not tell
// the compiler which memory they access.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/bf16/round_avx512.h"

namespace apam::kernels::cpu {
namespace {

struct AmxUnit : RoundAvx512 {
  static constexpr const char* name = "amx";
  static constexpr int rate = 16;

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
};

}  // namespace
}  // namespace apam::kernels::cpu
