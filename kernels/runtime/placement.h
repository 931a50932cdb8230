// Where a crop of a padded image begins, and whether it is mirrored: a pure function of random words, the same on every device.
#pragma once

#include <array>
#include <cstdint>

namespace apam {

struct Placement {
  int dy = 0;  ///< 0 .. 2 * padding
  int dx = 0;
  bool flip = false;

  friend constexpr bool operator==(const Placement&, const Placement&) = default;
};

/// Uniform offsets, and a mirror image with probability 1/2 if `may_flip`, of four random words (kernels/runtime/philox.h).
constexpr Placement placement_of(const std::array<std::uint32_t, 4>& words, int padding, bool may_flip) {
  const auto offsets = static_cast<std::uint64_t>(2 * padding + 1);
  return {static_cast<int>(words[0] * offsets >> 32U), static_cast<int>(words[1] * offsets >> 32U),
          may_flip && words[2] >> 31U != 0};
}

}  // namespace apam
