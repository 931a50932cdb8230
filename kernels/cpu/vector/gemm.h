// Matrix products in register tiles: accumulators of `rows` rows by `vectors` vectors, in the shapes listed by V::Tiles. Each
// step broadcasts one element of A per row and does one fused multiply-add per vector of B. A kernel multiplies one panel of B
// (a tile wide, packed, zero-padded at the right edge) with all row tiles of a block, so that the panel stays in the L1 cache.
//   row_product:    out[i][:] (+)= sum over taps t, channels l of rows[t][i][l] * panel[t][l][:]     A gathered by pointers
//   outer_product:  out[i][:] (+)= sum over p of a[p][i] * b[p][:]                                  A and B strided
//   window_product: the same, with row i of A walking over the pixels of an image from its own start
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
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::zero();
    }
  }

  /// One step of the sum: adds a(i) * b[:] to row i.
  template <class Element>
  inline __attribute__((always_inline)) void step(Element a, const float* b) {
    Float column[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) column[j] = V::load(b + j * V::width);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Float element = V::set1(a(i));
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::fma(element, column[j], sum[i][j]);
    }
  }

  /// Epilogue: writes row i to its columns of `row`, or adds it.
  inline __attribute__((always_inline)) void finish(int i, float* row, const PanelOut& out) const {
#pragma GCC unroll 8
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

  /// Epilogue of the first `count` rows, `stride` floats apart; `count` may exceed the tile.
  inline __attribute__((always_inline)) void finish(int count, float* to, std::int64_t stride, const PanelOut& out) const {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      if (i < count) finish(i, to + i * stride, out);
    }
  }
};

/// Floats between two rows of a packed panel of B.
template <class V, int vectors>
inline constexpr int kPanel = vectors* V::width;

/// One tile of rows. With `prefetches`, each step prefetches a cache line of the next panel, `ahead_step` floats apart.
template <class V, int rows, int vectors, bool prefetches>
inline __attribute__((always_inline)) void row_tile(const float* const* row, const TapRange& range, const float* b,
                                                    const float*& ahead, std::int64_t ahead_step,
                                                    Tile<V, rows, vectors>& tile) {
  for (int tap = 0; tap < range.taps; ++tap, row += rows) {
    const float* a[rows];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) a[i] = row[i] + range.first;
    for (std::int64_t l = 0; l < range.length; ++l, b += kPanel<V, vectors>) {
      if constexpr (prefetches) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
      }
      tile.step([&a, l](int i) { return a[i][l]; }, b);
    }
  }
}

/// A block prefetches the next panel. If a row of the panel is at most one cache line, the first tile prefetches all of it.
/// Otherwise each tile prefetches a share, since prefetching faster than the L3 cache delivers stalls the product. At most one
/// line per step is prefetched, so a block with few tiles skips some lines.
template <class V, int rows, int vectors>
void row_product(const RowTiles& tiles, const TapRange& range, const PanelOut& out, const Panel& panel) {
  constexpr int width = kPanel<V, vectors>;
  const int prefetching = width <= kLineFloats ? 1 : (tiles.count < width ? tiles.count : width);
  const float* ahead = panel.next;
  for (int t = 0; t < tiles.count; ++t) {
    const float* const* row = tiles.rows + (std::int64_t{t} * tiles.taps + range.first_tap) * rows;
    Tile<V, rows, vectors> tile;
    tile.clear();
    if (t < prefetching) {
      const std::int64_t ahead_step = (width + prefetching - 1) / prefetching;
      row_tile<V, rows, vectors, true>(row, range, panel.at, ahead, ahead_step, tile);
    } else {
      row_tile<V, rows, vectors, false>(row, range, panel.at, ahead, 0, tile);
    }
    float* const* to = tiles.out + std::int64_t{t} * rows;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) tile.finish(i, to[i], out);
  }
}

template <class V, int rows, int vectors>
void outer_product(const OuterTiles& tiles, const PanelOut& out, const float* a, const float* b) {
  for (int first = 0; first < tiles.rows; first += rows, a += tiles.a_tile) {
    float* to = tiles.out + first * tiles.out_stride;
    if (out.accumulate) {
      for (int i = 0; i < rows && first + i < tiles.rows; ++i) {
        for (int j = 0; j < out.columns; j += kLineFloats) __builtin_prefetch(to + i * tiles.out_stride + out.first + j, 1);
      }
    }
    Tile<V, rows, vectors> tile;
    tile.clear();
    for (std::int64_t part = 0; part < tiles.parts; ++part) {
      const float* element = a + part * tiles.a.part;
      const float* column = b + part * tiles.b.part;
      for (std::int64_t p = 0; p < tiles.depth; ++p, column += tiles.b.step, element += tiles.a.step) {
        tile.step([element](int i) { return element[i]; }, column);
      }
    }
    tile.finish(tiles.rows - first, to, tiles.out_stride, out);
  }
}

template <class V, int vectors>
void window_product_tiles(const WindowTiles& window, const PanelOut& out, const float* b) {
  constexpr int rows = V::window_rows, lines = (vectors * V::width + kLineFloats - 1) / kLineFloats;
  for (int first = 0; first < window.row_count; first += rows) {
    const float* a[rows];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) a[i] = window.rows[first + i];
    Tile<V, rows, vectors> tile;
    tile.clear();
    const float* column = b;
    // Each tile prefetches its share of the lines of the next rows of b; for the other lines it prefetches the current row,
    // which is a no-op.
    const int turn = first / rows, turns = (window.row_count + rows - 1) / rows;
    std::int64_t ahead[lines];
    for (int line = 0; line < lines; ++line) {
      ahead[line] = line * kLineFloats + (line % turns == turn ? window.lines * window.pixels * window.b_step : 0);
    }
    for (std::int64_t q = 0; q < window.lines; ++q) {
      std::int64_t at = q * window.line;
      for (std::int64_t p = 0; p < window.pixels; ++p, at += window.step, column += window.b_step) {
#pragma GCC unroll 8
        for (int line = 0; line < lines; ++line) __builtin_prefetch(column + ahead[line], 0, 2);
        tile.step([&a, at](int i) { return a[i][at]; }, column);
      }
    }
    tile.finish(window.row_count - first, window.out + first * window.out_stride, window.out_stride, out);
  }
}

template <class V>
void window_product(const WindowTiles& window, const PanelOut& out, const float* b) {
  if (out.columns <= V::width) return window_product_tiles<V, 1>(window, out, b);
  if constexpr (V::window_vectors > 2) {
    if (out.columns > 2 * V::width) return window_product_tiles<V, 3>(window, out, b);
  }
  window_product_tiles<V, 2>(window, out, b);
}

template <class V, int rows>
void pack_tiles(const float* from, std::int64_t stride, std::int64_t depth, int columns, float* to) {
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

template <class V, int vectors>
void pack_pieces(const Pieces& pieces, float* to) {
  constexpr int whole = kPanel<V, vectors>;
  if (pieces.length == whole) {
    for (std::int64_t p = 0; p < pieces.count; ++p, to += pieces.stride) {
      __builtin_memcpy(to, pieces.rows[p] + pieces.first, whole * sizeof(float));
    }
    return;
  }
  for (std::int64_t p = 0; p < pieces.count; ++p, to += pieces.stride) {
    const float* from = pieces.rows[p] + pieces.first;
    for (int l = 0; l < pieces.length; ++l) to[l] = from[l];
  }
}

template <class V, int rows, int vectors>
constexpr TileKernels tile_kernels() {
  return {rows,
          kPanel<V, vectors>,
          row_product<V, rows, vectors>,
          outer_product<V, rows, vectors>,
          pack_tiles<V, rows>,
          pack_pieces<V, vectors>};
}

/// The tile shapes listed by the vector type, in order of preference.
template <class V, class... Shapes>
constexpr GemmKernels gemm_kernels(TileShapes<Shapes...>) {
  return {{tile_kernels<V, Shapes::rows, Shapes::vectors>()...},
          static_cast<int>(sizeof...(Shapes)),
          V::window_rows,
          kPanel<V, V::window_vectors>,
          window_product<V>};
}

}  // namespace apam::kernels::cpu
