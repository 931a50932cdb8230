// The shape of a tensor: up to four extents, outermost first.
#pragma once

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/runtime/error.h"

namespace apam::engine {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int> extents) : rank_(static_cast<int>(extents.size())) {
    require<ShapeError>(rank_ <= kMaxRank, "shape: {} dimensions, expected at most {}", rank_, kMaxRank);
    std::copy(extents.begin(), extents.end(), extents_.begin());
    for (const int extent : extents) require<ShapeError>(extent >= 0, "shape: extent {} is negative", extent);
  }

  int rank() const { return rank_; }
  int operator[](int dimension) const { return extents_[static_cast<std::size_t>(dimension)]; }
  std::size_t size() const {
    std::size_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= static_cast<std::size_t>(extents_[static_cast<std::size_t>(i)]);
    return product;
  }
  const int* begin() const { return extents_.data(); }
  const int* end() const { return extents_.data() + rank_; }

  /// "(80, 32, 32, 64)"
  std::string describe() const { return fmt::format("({})", fmt::join(begin(), end(), ", ")); }

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace apam::engine

/// Formats a shape in error messages. Checks that pass do no formatting.
template <>
struct fmt::formatter<apam::engine::Shape> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  auto format(const apam::engine::Shape& shape, format_context& context) const {
    return fmt::format_to(context.out(), "({})", fmt::join(shape.begin(), shape.end(), ", "));
  }
};
