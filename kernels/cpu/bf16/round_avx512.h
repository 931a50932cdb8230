// Rounding to bfloat16 with AVX512-BF16, see tile_unit.h. Included only by build_amx.cpp and build_dot.cpp; the unnamed
// namespace is intentional, see isa.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/bf16/tile_unit.h"

namespace apam::kernels::cpu {
namespace {

struct RoundAvx512 {
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
