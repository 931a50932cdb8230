// Vectors of 4 floats with the compiler's vector extension: SSE2 on x86-64, NEON on 64-bit ARM. fma rounds twice, since not all
// processors have a fused multiply-add. The unnamed namespace is intentional, see isa.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector/tile_shapes.h"

namespace apam::kernels::cpu {
namespace {

struct Portable {
  static constexpr const char* name = "portable";
  static constexpr int width = 4;
  static constexpr bool fused = false;    // fma rounds twice
  static constexpr bool streams = false;  // no non-temporal stores
  using Tiles = TileShapes<TileShape<4, 2>, TileShape<8, 1>>;
  static constexpr int window_vectors = 2;
  static constexpr int window_rows = 4;  // of window_product's tile, which keeps one pointer per row in a register
  using Float = float __attribute__((vector_size(16)));

  static Float zero() { return Float{}; }
  static Float set1(float value) { return Float{value, value, value, value}; }
  static Float load(const float* from) {
    Float value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }
  static void store(float* to, Float value) { __builtin_memcpy(to, &value, sizeof value); }
  /// bfloat16 as the upper half of a float; stores round to nearest, ties to even.
  static Float load(const std::uint16_t* from) { return load(from, width); }
  static void store(std::uint16_t* to, Float value) { store(to, value, width); }
  static void stream(float* to, Float value) { store(to, value); }
  static void stream(std::uint16_t* to, Float value) { store(to, value); }
  static void store_fence() {}
  /// Only the first `lanes` elements (1 .. width); the other lanes read as zero, and their memory is not accessed.
  static Float load(const float* from, int lanes) {
    Float value{};
    for (int i = 0; i < lanes; ++i) value[i] = from[i];
    return value;
  }
  static void store(float* to, Float value, int lanes) {
    for (int i = 0; i < lanes; ++i) to[i] = value[i];
  }

  static Float load(const std::uint16_t* from, int lanes) {
    Float value{};
    for (int i = 0; i < lanes; ++i) value[i] = __builtin_bit_cast(float, static_cast<std::uint32_t>(from[i]) << 16U);
    return value;
  }
  static void store(std::uint16_t* to, Float value, int lanes) {
    for (int i = 0; i < lanes; ++i) {
      const float element = value[i];  // clang 14 would cast element 0
      const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, element);
      const std::uint32_t rounded = element != element ? bits | 0x00400000U : bits + 0x7FFFU + (bits >> 16U & 1U);
      to[i] = static_cast<std::uint16_t>(rounded >> 16U);
    }
  }

  static Float add(Float a, Float b) { return a + b; }
  static Float sub(Float a, Float b) { return a - b; }
  static Float mul(Float a, Float b) { return a * b; }
  static Float div(Float a, Float b) { return a / b; }
  static Float fma(Float a, Float b, Float c) { return a * b + c; }
  static Float sqrt(Float a) {
    for (int i = 0; i < width; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
  }
  /// b if either is NaN.
  static Float max(Float a, Float b) { return a > b ? a : b; }
  /// 0 where a is denormal, else a.
  static Float flush_denormal(Float a) { return (a < zero() ? -a : a) < set1(0x1p-126F) ? zero() : a; }
  /// max(0, a); NaN stays NaN.
  static Float relu(Float a) { return a < zero() ? zero() : a; }
  /// 0 where gate <= 0, else a.
  static Float where_open(Float gate, Float a) { return gate <= zero() ? zero() : a; }
  /// One bit per lane, in a byte: clear where gate <= 0.
  static void store_gate(std::uint8_t* to, Float gate) {
    unsigned bits = 0;
    for (int i = 0; i < width; ++i) bits |= gate[i] <= 0 ? 0U : 1U << static_cast<unsigned>(i);
    *to = static_cast<std::uint8_t>(bits);
  }
  /// a where the bit is set, else 0.
  static Float where_gate(const std::uint8_t* from, Float a) {
    for (int i = 0; i < width; ++i) a[i] = (*from >> static_cast<unsigned>(i) & 1U) != 0 ? a[i] : 0.0F;
    return a;
  }
};

}  // namespace
}  // namespace apam::kernels::cpu
