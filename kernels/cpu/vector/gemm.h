// Matrix products in register tiles: `rows` rows by `vectors` vectors of float accumulators, of the shapes that V::Tiles lists;
// for one broadcast of A a fused multiply-add for each vector of B. The kernels run one panel of B (a tile wide, packed,
// zero-filled at the right edge) against all tiles of rows of a block, so that the panel stays in the first-level cache.
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
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::zero();
    }
  }

  /// Adds a[i] * b[:] for one step of the sum; `a(i)` gives the element of row i.
  template <class Element>
  inline __attribute__((always_inline)) void step(Element a, const float* b) {
    Float column[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) column[j] = V::load(b + j * V::width);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Float element = V::all(a(i));
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::fma(element, column[j], sum[i][j]);
    }
  }

  /// Writes row i to its columns of `row`, or adds it.
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

  /// The same for the first `count` rows (there may be more than the tile has), `stride` floats apart.
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

/// One tile of rows, which may ask for some of the panel that comes next: a line at every step, `ahead_step` floats apart.
template <class V, int rows, int vectors, bool asks>
inline __attribute__((always_inline)) void row_tile(const float* const* row, const TapRange& range, const float* b,
                                                    const float*& ahead, std::int64_t ahead_step,
                                                    Tile<V, rows, vectors>& tile) {
  for (int tap = 0; tap < range.taps; ++tap, row += rows) {
    const float* a[rows];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) a[i] = row[i] + range.first;
    for (std::int64_t l = 0; l < range.length; ++l, b += kPanel<V, vectors>) {
      if constexpr (asks) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
      }
      tile.step([&a, l](int i) { return a[i][l]; }, b);
    }
  }
}

/// A block asks for the next panel while it works: the first tile for all of it, where a row of the panel is at most a line;
/// otherwise each tile for a share, since lines that are asked for faster than the third-level cache gives them hold up the
/// product. A line a step is the most, so that a block of few tiles leaves some lines out.
template <class V, int rows, int vectors>
void row_product(const RowTiles& tiles, const TapRange& range, const PanelOut& out, const Panel& panel) {
  constexpr int width = kPanel<V, vectors>;
  const int asking = width <= kLineFloats ? 1 : (tiles.count < width ? tiles.count : width);
  const float* ahead = panel.next;
  for (int t = 0; t < tiles.count; ++t) {
    const float* const* row = tiles.rows + (std::int64_t{t} * tiles.taps + range.first_tap) * rows;
    Tile<V, rows, vectors> tile;
    tile.clear();
    if (t < asking) {
      const std::int64_t ahead_step = (width + asking - 1) / asking;
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
    // Tiles take turns to ask for the rows of b that come after these, line by line; what is left over asks for what is there.
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

/// The tiles of a vector type's list, the preferred one first.
template <class V, class... Shapes>
constexpr GemmKernels gemm_kernels(TileShapes<Shapes...>) {
  return {{tile_kernels<V, Shapes::rows, Shapes::vectors>()...},
          static_cast<int>(sizeof...(Shapes)),
          V::window_rows,
          kPanel<V, V::window_vectors>,
          window_product<V>};
}

}  // namespace apam::kernels::cpu
