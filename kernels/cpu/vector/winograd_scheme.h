// Tiles of each Winograd method, and which points of a tile are multiplied with which points of a filter.
#pragma once

#include <cstdint>

namespace apam::kernels::cpu {

/// A tile has side x side points, a filter filter_side x filter_side. In each dimension, `own` points have one filter point
/// each, and `shared` further points, if any, share one. Points are numbered so that those of a filter point are consecutive.
struct TileScheme {
  int in, step;     ///< pixels per side of an input tile, and from one tile to the next
  int out;          ///< pixels per side of an output tile
  int own, shared;  ///< points per side

  constexpr int side() const { return own + shared; }
  constexpr int filter_side() const { return own + (shared > 0 ? 1 : 0); }
  constexpr int points() const { return side() * side(); }
  constexpr int filters() const { return filter_side() * filter_side(); }

  /// The numbers of the point and of the filter point in row i, column j.
  [[gnu::always_inline]] constexpr int point(int i, int j) const { return number(i, j, shared); }
  [[gnu::always_inline]] constexpr int filter(int i, int j) const { return number(i, j, 1); }

  /// The number of points of a filter point, and the first of them.
  constexpr int group_size(int filter) const {
    if (filter < own * own) return 1;
    return filter < own * own + 2 * own ? shared : shared * shared;
  }
  constexpr int first_point(int filter) const {
    const int beyond = filter - own * own;
    return beyond < 0 ? filter : own * own + beyond * shared;
  }
  constexpr int largest_group() const { return shared > 0 ? shared * shared : 1; }

 private:
  [[gnu::always_inline]] constexpr int number(int i, int j, int others) const {
    if (i < own && j < own) return i * own + j;
    if (i < own) return own * own + i * others + j - own;
    if (j < own) return own * own + own * others + j * others + i - own;
    return own * own + 2 * own * others + (i - own) * others + j - own;
  }
};

/// same, same_small: stride 1. down: stride 2. up: input gradient with stride 2; its tiles begin with a row and a column under
/// the filter's centre.
enum class Tiling : std::uint8_t { same, same_small, down, up };
inline constexpr int kTilings = 4;
inline constexpr TileScheme kTileSchemes[kTilings] = {{6, 4, 4, 6, 0}, {5, 3, 3, 5, 0}, {9, 8, 4, 5, 4}, {5, 4, 8, 5, 4}};
inline constexpr int kMaxTilePixels = 9 * 9;

}  // namespace apam::kernels::cpu
