// Matrix products in register tiles: `V::tile_rows` rows by `V::tile_vectors` vectors of float accumulators, one broadcast
// of A and one fused multiply-add a vector of B. The kernels run one panel of B (a tile wide, packed, zero-filled at the
// right edge) against all tiles of rows of a block, so that the panel stays in the first-level cache.
//   row_product:    out[i][:] (+)= sum over taps t, channels l of rows[t][i][l] * panel[t][l][:]     A read where it lies
//   outer_product:  out[i][:] (+)= sum over p of a[p][i] * b[p][:]                                  A and B by strides
//   window_product: the same, where row i of A walks over the pixels of an image from a start of its own
#pragma once

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// The accumulators of a tile of `rows` x `vectors` vectors.
template <class V, int rows, int vectors>
struct Tile {
  using Float = typename V::Float;
  Float sum[rows][vectors];

  inline __attribute__((always_inline)) void clear() {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::zero();
    }
  }

  /// Adds a[i] * b[:] for one step of the sum; `a(i)` gives the element of row i.
  template <class Element>
  inline __attribute__((always_inline)) void step(Element a, const float* b) {
    Float column[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) column[j] = V::load(b + j * V::width);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Float element = V::all(a(i));
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::fma(element, column[j], sum[i][j]);
    }
  }

  /// Writes row i to its columns of `row`, or adds it.
  inline __attribute__((always_inline)) void finish(int i, float* row, const PanelOut& out) const {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      const int lanes = out.columns - j * V::width;
      float* at = row + out.first + j * V::width;
      if (lanes >= V::width) {
        out.stream ? V::stream(at, sum[i][j]) : V::store(at, out.accumulate ? V::add(V::load(at), sum[i][j]) : sum[i][j]);
      } else if (lanes > 0) {
        V::store(at, out.accumulate ? V::add(V::load(at, lanes), sum[i][j]) : sum[i][j], lanes);
      }
    }
  }

  /// The same for the first `count` rows (there may be more than the tile has), `stride` floats apart.
  inline __attribute__((always_inline)) void finish(int count, float* to, std::int64_t stride, const PanelOut& out) const {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      if (i < count) finish(i, to + i * stride, out);
    }
  }
};

/// Floats between two rows of a packed panel of B.
template <class V>
inline constexpr int kPanel = V::tile_vectors* V::width;

template <class V, int vectors>
void row_product_tiles(const RowTiles& tiles, const TapRange& range, const PanelOut& out, const float* panel) {
  constexpr int rows = V::tile_rows;
  for (int t = 0; t < tiles.count; ++t) {
    const float* const* row = tiles.rows + (std::int64_t{t} * tiles.taps + range.first_tap) * rows;
    const float* b = panel;
    Tile<V, rows, vectors> tile;
    tile.clear();
    for (int tap = 0; tap < range.taps; ++tap, row += rows) {
      const float* a[rows];
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) a[i] = row[i] + range.first;
      for (std::int64_t l = 0; l < range.length; ++l, b += kPanel<V>) tile.step([&a, l](int i) { return a[i][l]; }, b);
    }
    float* const* to = tiles.out + std::int64_t{t} * rows;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) tile.finish(i, to[i], out);
  }
}

template <class V>
void row_product(const RowTiles& tiles, const TapRange& range, const PanelOut& out, const float* panel) {
  if constexpr (V::tile_vectors == 2) {
    if (out.columns <= V::width) return row_product_tiles<V, 1>(tiles, range, out, panel);
  }
  row_product_tiles<V, V::tile_vectors>(tiles, range, out, panel);
}

template <class V, int vectors>
void outer_product_tiles(const OuterTiles& tiles, const PanelOut& out, const float* a, const float* b) {
  constexpr int rows = V::tile_rows;
  for (int first = 0; first < tiles.rows; first += rows, a += tiles.a_tile) {
    Tile<V, rows, vectors> tile;
    tile.clear();
    const float* column = b;
    const float* element = a;
    for (std::int64_t p = 0; p < tiles.depth; ++p, column += tiles.b_step, element += tiles.a_step) {
      tile.step([element](int i) { return element[i]; }, column);
    }
    tile.finish(tiles.rows - first, tiles.out + first * tiles.out_stride, tiles.out_stride, out);
  }
}

template <class V>
void outer_product(const OuterTiles& tiles, const PanelOut& out, const float* a, const float* b) {
  if constexpr (V::tile_vectors == 2) {
    if (out.columns <= V::width) return outer_product_tiles<V, 1>(tiles, out, a, b);
  }
  outer_product_tiles<V, V::tile_vectors>(tiles, out, a, b);
}

template <class V, int vectors>
void window_product_tiles(const WindowTiles& window, const PanelOut& out, const float* b) {
  constexpr int rows = V::window_rows;
  for (int first = 0; first < window.row_count; first += rows) {
    const float* a[rows];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) a[i] = window.rows[first + i];
    Tile<V, rows, vectors> tile;
    tile.clear();
    const float* column = b;
    // The first tile asks for the rows of b that come after these, the others for what is there already.
    const std::int64_t ahead = first == 0 ? window.lines * window.pixels * window.b_step : 0;
    for (std::int64_t q = 0; q < window.lines; ++q) {
      std::int64_t at = q * window.line;
      for (std::int64_t p = 0; p < window.pixels; ++p, at += window.step, column += window.b_step) {
#pragma GCC unroll 4
        for (int line = 0; line < vectors * V::width; line += kLineFloats) __builtin_prefetch(column + ahead + line, 0, 2);
        tile.step([&a, at](int i) { return a[i][at]; }, column);
      }
    }
    tile.finish(window.row_count - first, window.out + first * window.out_stride, window.out_stride, out);
  }
}

template <class V>
void window_product(const WindowTiles& window, const PanelOut& out, const float* b) {
  if constexpr (V::tile_vectors == 2) {
    if (out.columns <= V::width) return window_product_tiles<V, 1>(window, out, b);
  }
  window_product_tiles<V, V::tile_vectors>(window, out, b);
}

template <class V>
void pack_tiles(const float* from, std::int64_t stride, std::int64_t depth, int columns, float* to) {
  constexpr int rows = V::tile_rows;
  int first = 0;
  for (; first + rows <= columns; first += rows) {
    const float* element = from + first;
    for (std::int64_t p = 0; p < depth; ++p, element += stride, to += rows) {
      __builtin_memcpy(to, element, rows * sizeof(float));
    }
  }
  if (first == columns) return;
  const float* element = from + first;
  for (std::int64_t p = 0; p < depth; ++p, element += stride, to += rows) {
    for (int i = 0; i < rows; ++i) to[i] = first + i < columns ? element[i] : 0.0F;
  }
}

template <class V>
void pack_pieces(const Pieces& pieces, float* to) {
  if (pieces.length == kPanel<V>) {
    for (std::int64_t p = 0; p < pieces.count; ++p, to += pieces.stride) {
      __builtin_memcpy(to, pieces.rows[p] + pieces.first, kPanel<V> * sizeof(float));
    }
    return;
  }
  for (std::int64_t p = 0; p < pieces.count; ++p, to += pieces.stride) {
    const float* from = pieces.rows[p] + pieces.first;
    for (int l = 0; l < pieces.length; ++l) to[l] = from[l];
  }
}

template <class V>
constexpr GemmKernels gemm_kernels() {
  return {V::tile_rows,     kPanel<V>,         V::window_rows, row_product<V>,
          outer_product<V>, window_product<V>, pack_tiles<V>,  pack_pieces<V>};
}

}  // namespace apam::kernels::cpu
