// How images are cut into Winograd tiles, row by row and image by image; their sizes are in vector/winograd_scheme.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/integers.h"
#include "kernels/cpu/vector/tables.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cpu {

/// Floats between planes of transformed tiles, and between rows where one holds many channels: an odd number of cache lines.
/// Addresses 4 KiB, 64 lines, apart compete for a place in the first-level cache; 64 planes an odd number of lines apart each
/// have a place of their own.
constexpr std::int64_t odd_lines(std::int64_t floats) { return (ceil_div(floats, kLineFloats) | 1) * kLineFloats; }

/// Images of pixels of some channels, (images, h, w, channels).
struct Pixels {
  int h, w, channels;

  /// Pointers to the size x size pixels from (row, column) of an image on; `outside` for those beyond it.
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
  int in_begin, out_begin;  ///< row and column of the first tile's first pixel; may lie before the image

  const TileScheme& scheme() const { return kTileSchemes[static_cast<int>(tiling)]; }
  int tiles_h() const { return (out.h - out_begin + scheme().out - 1) / scheme().out; }
  int tiles_w() const { return (out.w - out_begin + scheme().out - 1) / scheme().out; }
  std::int64_t count() const { return std::int64_t{images} * tiles_h() * tiles_w(); }

  /// Whether the tiles have no pixel beyond the output.
  bool covers_output() const { return out_begin == 0 && out.h % scheme().out == 0 && out.w % scheme().out == 0; }

  /// The input pixels of a tile.
  void input(const float* x, std::int64_t tile, const float* outside, const float** pointers) const {
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

/// Whether there is a method for a problem.
constexpr bool winograd_can(const Conv2d::Problem& problem) {
  return problem.r == 3 && problem.s == 3 && problem.stride <= 2 && problem.padding <= 2;
}

/// Stride 1, in the tiles that have fewer points: an image of 6x6 is four tiles of 3x3, but little more than half of four
/// tiles of 4x4.
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

/// dy -> dx, tiles over dx: a convolution of dy with the rotated filter and what padding the first one left. With stride 2
/// tiles begin with a pixel that met the middle of the filter: row j of dx met it at dy's row (j + padding - 1) / 2.
inline TileGrid backward_input_grid(const Conv2d::Problem& problem) {
  const Pixels dy{problem.out_h(), problem.out_w(), problem.k}, dx{problem.h, problem.w, problem.c};
  if (problem.stride == 1) return same_grid(problem.n, dy, dx, 2 - problem.padding);
  const int out_begin = problem.padding % 2 == 1 ? 0 : -1;
  return {Tiling::up, problem.n, dy, dx, (problem.padding + out_begin - 1) / 2, out_begin};
}

}  // namespace apam::kernels::cpu
