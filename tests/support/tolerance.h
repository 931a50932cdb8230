// The allowed difference between a result in float and the same result in double: one rule for every operation and provider.
//
// An element is a sum of `terms` products or addends of size s, in any order. Step i rounds a partial sum of size about
// s * sqrt(i), since the addends have mixed signs, by a random amount of at most u = eps / 2 of it, which has deviation
// u / sqrt(3). The sum of these errors has deviation
//     u / sqrt(3) * s * sqrt(1 + 2 + ... + terms)  =  u * s * terms / sqrt(6),
// and the result has size s * sqrt(terms): relative to it, u * sqrt(terms) / sqrt(6) = 0.2 * eps * sqrt(terms). Rounding each
// product first adds u / sqrt(3) = 0.3 * eps for any number of terms. Addends of equal sign follow the same law relative to
// their total. The largest of 10^7 normal errors is 5.4 deviations: 1.1 * eps * sqrt(terms) for long sums, below 2 * eps for
// short ones. A factor of 4 leaves room for the amplification by Winograd's transforms and for vectorised exponentials:
//     |actual - expected| <= 4 * eps * sqrt(terms) * max(|expected|, size of the operand)
// The size of the operand is the root mean square of the expected values or, if large addends cancel, the size of the addends.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

namespace apam::support {

inline double root_mean_square(std::span<const double> values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return values.empty() ? 0 : std::sqrt(squares / static_cast<double>(values.size()));
}

class Tolerance {
 public:
  static constexpr double kEps = std::numeric_limits<float>::epsilon();

  /// `terms` 0: nothing is rounded, so results are equal.
  Tolerance(std::int64_t terms, double size) : relative_(4 * kEps * std::sqrt(static_cast<double>(terms))), size_(size) {}

  double of(double expected) const { return relative_ * std::max(std::abs(expected), size_); }

  /// The largest error of one more rounding of `value`.
  static double rounding(double value) { return kEps / 2 * std::abs(value); }
  static double rounding_to_bfloat16(double value) { return 0x1p-8 * std::abs(value); }

 private:
  double relative_;
  double size_;
};

}  // namespace apam::support
