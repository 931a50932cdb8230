// Division of numbers below 2^31 by one that is fixed for a kernel: a multiplication and a shift instead of about 20
// instructions. With l = ceil(log2 d) and m = floor(2^32 (2^l - d) / d) + 1, n / d = (high half of (m n) + n) >> l  (Granlund,
// Montgomery, "Division by invariant integers using multiplication", 1994; the sum cannot overflow for n < 2^31).
#pragma once

#include <cstdint>

#include <simt/macros.h>

namespace apam::kernels::cuda {

class Divisor {
 public:
  Divisor() = default;
  /// `value` is in 1 .. 2^31 - 1.
  explicit constexpr Divisor(int value) : value_(static_cast<std::uint32_t>(value)) {
    while ((std::uint64_t{1} << shift_) < value_) ++shift_;
    multiplier_ = static_cast<std::uint32_t>((((std::uint64_t{1} << shift_) - value_) << 32U) / value_ + 1);
  }

  DEVICE int value() const { return static_cast<int>(value_); }

  /// n / value and n % value, for n >= 0.
  DEVICE int quotient(int n) const {
    const auto number = static_cast<std::uint32_t>(n);
    const auto high = static_cast<std::uint32_t>((std::uint64_t{multiplier_} * number) >> 32U);
    return static_cast<int>((high + number) >> shift_);
  }
  DEVICE int remainder(int n, int quotient) const { return n - quotient * static_cast<int>(value_); }

 private:
  std::uint32_t value_ = 1, multiplier_ = 1, shift_ = 0;
};

}  // namespace apam::kernels::cuda
