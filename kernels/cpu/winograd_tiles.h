// How images are cut into Winograd tiles: 4x4 output pixels each, from 6x6 input pixels, row by row and image by image.
#pragma once

#include <cstdint>

#include "kernels/cpu/integers.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cpu {

inline constexpr int kTileOut = 4, kTileIn = 6;
inline constexpr int kPoints = kTileIn * kTileIn;  ///< of a transformed tile
/// Floats between rows and between planes of transformed tiles: rounded up and padded, so that neither is a multiple of
/// the 4 KiB after which addresses compete for the same lines of a first-level cache.
constexpr std::int64_t padded_row(std::int64_t channels) { return round_up(channels, 16) + 16; }
constexpr std::int64_t padded_plane(std::int64_t floats) { return round_up(floats, 16) + 16; }

/// Images of pixels of some channels, (images, h, w, channels).
struct Pixels {
  int h, w, channels;

  /// Pointers to the size x size pixels from (row, column) of an image on; `outside` for those beyond it.
  template <class T>
  void window(T* images, std::int64_t image, int row, int column, int size, T* outside, T** pointers) const {
    T* base = images + image * h * w * channels;
    for (int i = 0; i < size; ++i) {
      for (int j = 0; j < size; ++j) {
        const int y = row + i, x = column + j;
        const bool inside = y >= 0 && y < h && x >= 0 && x < w;
        pointers[i * size + j] = inside ? base + (std::int64_t{y} * w + x) * channels : outside;
      }
    }
  }
};

struct TileGrid {
  int images;
  Pixels in, out;
  int padding;

  int tiles_h() const { return (out.h + kTileOut - 1) / kTileOut; }
  int tiles_w() const { return (out.w + kTileOut - 1) / kTileOut; }
  std::int64_t count() const { return std::int64_t{images} * tiles_h() * tiles_w(); }

  /// The 6x6 input pixels of a tile.
  void input(const float* x, std::int64_t tile, const float* outside, const float** pointers) const {
    const Place at = place(tile);
    in.window(x, at.image, at.row - padding, at.column - padding, kTileIn, outside, pointers);
  }
  /// The 4x4 output pixels of a tile, to be read or written.
  template <class T>
  void output(T* y, std::int64_t tile, T* outside, T** pointers) const {
    const Place at = place(tile);
    out.window(y, at.image, at.row, at.column, kTileOut, outside, pointers);
  }

 private:
  struct Place {
    std::int64_t image;
    int row, column;  // of the first output pixel
  };
  Place place(std::int64_t tile) const {
    const std::int64_t row = tile / tiles_w();
    return {row / tiles_h(), static_cast<int>(row % tiles_h()) * kTileOut, static_cast<int>(tile % tiles_w()) * kTileOut};
  }
};

/// Whether F(4x4, 3x3) computes a problem: filters of 3x3, moved by 1.
constexpr bool winograd_can(const Conv2d::Problem& problem) {
  return problem.r == 3 && problem.s == 3 && problem.stride == 1 && problem.padding <= 2;
}

/// x -> y, tiles over y.
inline TileGrid forward_grid(const Conv2d::Problem& problem) {
  return {problem.n, {problem.h, problem.w, problem.c}, {problem.out_h(), problem.out_w(), problem.k}, problem.padding};
}

/// dy -> dx: a convolution of dy with the rotated filter and what padding the first one left, tiles over dx.
inline TileGrid backward_input_grid(const Conv2d::Problem& problem) {
  return {problem.n, {problem.out_h(), problem.out_w(), problem.k}, {problem.h, problem.w, problem.c}, 2 - problem.padding};
}

}  // namespace apam::kernels::cpu
