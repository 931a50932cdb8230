// The tiles of amx_unit.h in plain C++, bit for bit as in tile_unit.h; the unnamed namespace is intentional, see isa.h.
//
// A product of two bfloat16 is exact in float32, so that a multiplication and an addition round like a fused one. Exceptions
// are products that overflow or are denormal.
#pragma once

#include "kernels/cpu/bf16/tile_unit.h"

namespace apam::kernels::cpu {
namespace {

class EmulatedUnit {
 public:
  static constexpr const char* name = "emulated";
  static constexpr int rate = 16;  // chosen as AMX
  static void configure() {}
  static void release() {}

  template <int T>
  void zero() {
    __builtin_memset(tiles_[T], 0, sizeof tiles_[T]);
  }
  template <int T>
  void load(const void* from, std::int64_t stride) {
    for (int i = 0; i < kTileRows; ++i) __builtin_memcpy(tiles_[T][i], static_cast<const char*>(from) + i * stride, kRowBytes);
  }
  template <int T>
  void store(void* to, std::int64_t stride) const {
    for (int i = 0; i < kTileRows; ++i) __builtin_memcpy(static_cast<char*>(to) + i * stride, tiles_[T][i], kRowBytes);
  }
  template <int C, int A, int B>
  void multiply() {
    multiply_add(tiles_[A], tiles_[B], tiles_[C]);
  }

  static void round(const float* from, bool accumulate, Bits16* to) {
    for (int j = 0; j < kTileColumns; ++j) to[j] = rounded(accumulate ? even_of(to[j]) + from[j] : from[j]);
  }

 private:
  static constexpr int kRowBytes = 64, kWords = 16;
  using Tile = std::uint32_t[kTileRows][kWords];

  /// As BFloat16(float), but denormal numbers become zero.
  static Bits16 rounded(float value) {
    constexpr std::uint32_t kInfinity = 0x7F800000U, kMagnitude = 0x7FFFFFFFU, kQuiet = 0x00400000U;
    const std::uint32_t bits = flush(__builtin_bit_cast(std::uint32_t, value));
    const std::uint32_t nearest = bits + 0x7FFFU + (bits >> 16U & 1U);
    return static_cast<Bits16>(((bits & kMagnitude) > kInfinity ? bits | kQuiet : nearest) >> 16U);
  }

  static std::uint32_t flush(std::uint32_t bits) {
    constexpr std::uint32_t kExponent = 0x7F800000U, kSign = 0x80000000U;
    return bits & ((bits & kExponent) == 0 ? kSign : ~0U);
  }
  static float flushed(float value) { return __builtin_bit_cast(float, flush(__builtin_bit_cast(std::uint32_t, value))); }
  static float even_of(std::uint32_t pair) { return __builtin_bit_cast(float, flush(pair << 16U)); }
  static float odd_of(std::uint32_t pair) { return __builtin_bit_cast(float, flush(pair & 0xFFFF0000U)); }

  static void multiply_add(const Tile& a, const Tile& b, Tile& c) {
    float b_even[kTilePairs][kTileColumns], b_odd[kTilePairs][kTileColumns];
    for (int p = 0; p < kTilePairs; ++p) {
      for (int j = 0; j < kTileColumns; ++j) {
        b_even[p][j] = even_of(b[p][j]);
        b_odd[p][j] = odd_of(b[p][j]);
      }
    }
    for (int i = 0; i < kTileRows; ++i) {
      float even[kTileColumns] = {}, odd[kTileColumns] = {};
      for (int p = 0; p < kTilePairs; ++p) {
        const float a_even = even_of(a[i][p]), a_odd = odd_of(a[i][p]);
        for (int j = 0; j < kTileColumns; ++j) {
          even[j] = flushed(even[j] + a_even * b_even[p][j]);
          odd[j] = flushed(odd[j] + a_odd * b_odd[p][j]);
        }
      }
      for (int j = 0; j < kTileColumns; ++j) {
        const float sum = flushed(even[j] + odd[j]);
        c[i][j] = flush(__builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, flush(c[i][j])) + sum));
      }
    }
  }

  alignas(64) Tile tiles_[8];
};

}  // namespace
}  // namespace apam::kernels::cpu
