// Types of array elements.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace apam {

/// The upper half of a float32: 8 bits of exponent, 8 significant bits. A storage type: arithmetic is in float32.
class BFloat16 {
 public:
  BFloat16() = default;

  /// Rounds to nearest, ties to even. Magnitudes that round beyond the largest finite number become infinite. NaN becomes the
  /// quiet NaN of the same sign and upper bits. Denormal numbers are kept.
  explicit constexpr BFloat16(float value) : bits_(round(std::bit_cast<std::uint32_t>(value))) {}

  static constexpr BFloat16 from_bits(std::uint16_t bits) {
    BFloat16 value{};
    value.bits_ = bits;
    return value;
  }
  constexpr std::uint16_t bits() const { return bits_; }

  /// Exact.
  explicit(false) constexpr operator float() const { return std::bit_cast<float>(std::uint32_t{bits_} << 16U); }

 private:
  static constexpr std::uint16_t round(std::uint32_t bits) {
    constexpr std::uint32_t kExponent = 0x7F800000U, kMagnitude = 0x7FFFFFFFU, kQuiet = 0x00400000U;
    if ((bits & kMagnitude) > kExponent) return static_cast<std::uint16_t>((bits | kQuiet) >> 16U);
    const std::uint32_t half = 0x7FFFU + (bits >> 16U & 1U);  // just below half a unit, or half of one if the result is odd
    return static_cast<std::uint16_t>((bits + half) >> 16U);
  }

  std::uint16_t bits_;
};
static_assert(sizeof(BFloat16) == 2);

enum class DType : std::uint8_t { float32, bfloat16, uint8, int32 };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::bfloat16:
      return 2;
    case DType::uint8:
      return 1;
  }
  return 0;
}

constexpr std::string_view to_string(DType type) {
  switch (type) {
    case DType::float32:
      return "float32";
    case DType::bfloat16:
      return "bfloat16";
    case DType::uint8:
      return "uint8";
    case DType::int32:
      return "int32";
  }
  return "unknown";
}

/// dtype_of<T>: the DType of a C++ type.
template <class T>
inline constexpr DType dtype_of = DType::float32;
template <class T>
inline constexpr DType dtype_of<const T> = dtype_of<T>;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::bfloat16;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::uint8;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::int32;

}  // namespace apam
