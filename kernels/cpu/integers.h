// Integer division and rounding.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) { return ceil_div(a, multiple) * multiple; }

/// Towards minus infinity; b > 0.
template <class T>
constexpr T floor_div(T a, T b) {
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}
template <class T>
constexpr T floor_mod(T a, T b) {
  return a - floor_div(a, b) * b;
}

}  // namespace apam::kernels::cpu
