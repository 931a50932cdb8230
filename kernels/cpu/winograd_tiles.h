// Division of images into Winograd tiles, numbered row by row and image by image. Tile sizes: vector/winograd_scheme.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/integers.h"
#include "kernels/cpu/vector/tables.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cpu {

/// Pads a stride (between planes of transformed tiles, or between long rows) to an odd number of cache lines. Addresses 64
/// lines (4 KiB) apart map to the same L1 set; with an odd stride, 64 planes map to 64 different sets.
constexpr std::int64_t odd_lines(std::int64_t floats) { return (ceil_div(floats, kLineFloats) | 1) * kLineFloats; }

/// Images (images, h, w, channels).
struct Pixels {
  int h, w, channels;

  /// Pointers to the size x size pixels that start at (row, column) of an image; `outside` for pixels outside it.
  template <class T>
  void window(T* images, std::int64_t image, int row, int column, int size, T* outside, T** pointers) const {
    const bool whole = row >= 0 && column >= 0 && row + size <= h && column + size <= w;
    for (int i = 0; i < size; ++i, pointers += size) {
      std::int64_t at = ((image * h + row + i) * w + column) * channels;
      if (whole) {
        for (int j = 0; j < size; ++j, at += channels) pointers[j] = images + at;
      } else if (row + i < 0 || row + i >= h) {
        for (int j = 0; j < size; ++j) pointers[j] = outside;
      } else {
        for (int j = 0; j < size; ++j, at += channels) {
          pointers[j] = column + j >= 0 && column + j < w ? images + at : outside;
        }
      }
    }
  }
};

struct TileGrid {
  Tiling tiling;
  int images;
  Pixels in, out;
  int in_begin, out_begin;  ///< row and column of the first tile's first pixel; may be negative

  const TileScheme& scheme() const { return kTileSchemes[static_cast<int>(tiling)]; }
  int tiles_h() const { return (out.h - out_begin + scheme().out - 1) / scheme().out; }
  int tiles_w() const { return (out.w - out_begin + scheme().out - 1) / scheme().out; }
  std::int64_t count() const { return std::int64_t{images} * tiles_h() * tiles_w(); }

  /// Whether all pixels of the tiles are inside the output.
  bool covers_output() const { return out_begin == 0 && out.h % scheme().out == 0 && out.w % scheme().out == 0; }

  /// The input pixels of a tile.
  template <class T>
  void input(const T* x, std::int64_t tile, const T* outside, const T** pointers) const {
    const Place at = place(tile);
    const int step = scheme().step;
    in.window(x, at.image, in_begin + at.row * step, in_begin + at.column * step, scheme().in, outside, pointers);
  }
  /// The output pixels of a tile, to be read or written.
  template <class T>
  void output(T* y, std::int64_t tile, T* outside, T** pointers) const {
    const Place at = place(tile);
    const int size = scheme().out;
    out.window(y, at.image, out_begin + at.row * size, out_begin + at.column * size, size, outside, pointers);
  }

 private:
  struct Place {
    std::int64_t image;
    int row, column;  // of the tile
  };
  Place place(std::int64_t tile) const {
    const std::int64_t row = tile / tiles_w();
    return {row / tiles_h(), static_cast<int>(row % tiles_h()), static_cast<int>(tile % tiles_w())};
  }
};

/// Whether there is a Winograd method for a problem.
constexpr bool winograd_supports(const Conv2d::Problem& problem) {
  return problem.r == 3 && problem.s == 3 && problem.stride <= 2 && problem.padding <= 2;
}

/// Stride 1, with the tile size that takes fewer points: a 6x6 image is four tiles of either size, so small ones take fewer.
inline TileGrid same_grid(int images, const Pixels& in, const Pixels& out, int padding) {
  const auto points = [](const TileGrid& grid) { return grid.count() * grid.scheme().points(); };
  const TileGrid large{Tiling::same, images, in, out, -padding, 0}, small{Tiling::same_small, images, in, out, -padding, 0};
  return points(small) < points(large) ? small : large;
}

/// x -> y, tiles over y.
inline TileGrid forward_grid(const Conv2d::Problem& problem) {
  const Pixels x{problem.h, problem.w, problem.c}, y{problem.out_h(), problem.out_w(), problem.k};
  if (problem.stride == 1) return same_grid(problem.n, x, y, problem.padding);
  return {Tiling::down, problem.n, x, y, -problem.padding, 0};
}

/// dy -> dx, tiles over dx: a convolution of dy with the rotated filter and padding 2 - padding. With stride 2, tiles begin
/// with a pixel under the filter's centre: row j of dx is under the centre for row (j + padding - 1) / 2 of dy.
inline TileGrid backward_input_grid(const Conv2d::Problem& problem) {
  const Pixels dy{problem.out_h(), problem.out_w(), problem.k}, dx{problem.h, problem.w, problem.c};
  if (problem.stride == 1) return same_grid(problem.n, dy, dx, 2 - problem.padding);
  const int out_begin = problem.padding % 2 == 1 ? 0 : -1;
  return {Tiling::up, problem.n, dy, dx, (problem.padding + out_begin - 1) / 2, out_begin};
}

}  // namespace apam::kernels::cpu
