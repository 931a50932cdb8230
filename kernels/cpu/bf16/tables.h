// The table of kernels on products of tiles, see tile_unit.h. Plain data and function pointers only, because files compiled for
// an instruction set include this header.
#pragma once

#include "kernels/cpu/bf16/tile_unit.h"

namespace apam::kernels::cpu {

/// One step of a sum: a tile of A and a tile of B, contiguous, `a` and `b` after the starts of their operands.
struct TileStep {
  std::int32_t a, b;
};
struct TileSteps {
  const TileStep* at;
  int count;
};

/// A block of products: kRows tiles of A and kColumns tiles of B, with their steps. Steps count `b_scale` elements of b.
template <int kRows, int kColumns>
struct BlockOperands {
  const Bits16* a[kRows];
  const Bits16* b[kColumns];
  int b_scale;
};
/// Where the sums of a block of products are in memory: contiguous tiles.
template <int kColumns>
struct SumTiles {
  float* column[kColumns];  // of the first row of tiles
  std::int64_t row;         // from row to row
};

/// Memory that a later call reads: `rows` rows of `lines` cache lines each. Every block of a product prefetches the next
/// `share` lines into the L2 cache, so that memory is read during the products. `row` and `line` count what is done.
struct Ahead {
  const Bits16* at = nullptr;
  std::int64_t rows = 0, stride = 0, lines = 0;
  std::int64_t share = 0;
  std::int64_t row = 0, line = 0;
};

/// 16 rows of the output of row_product.
struct RowTile {
  std::int64_t a;                                 // start of A
  std::int64_t out[kTileRows];                    // offset of column 0 of each output row in y
  static constexpr std::int64_t kDiscarded = -1;  // as `out`: the row is not written
};

/// y[tile rows, columns] (+)= sum over the steps of A * B, for `count` tiles and one or two panels of 16 columns. A sum may be
/// split into several calls, with partial sums in between.
struct RowProduct {
  const RowTile* tiles;
  int count;
  TileSteps steps;  // `b` counts steps of the panels
  const Bits16* a;
  const Bits16* b;  // (steps, panels, tile)
  int panels;       // 1 or 2
  bool first, last;
  float* sums;  // (tiles, panels, tile); if first && last only four tiles, of the block in progress
  Bits16* y;
  int columns;  // at most panels * 16
  bool accumulate;
  Ahead* ahead;
};

/// C[i, r, j] (+)= sum over the steps of filter row r of A_i * B_j, for all panels i of A, filter rows r and columns j of B.
struct OuterProduct {
  const TileSteps* steps;  // (filter rows)
  int filter_rows;
  const Bits16* a;
  std::int64_t a_panel;  // from panel to panel of A
  int panels;            // of A
  const Bits16* b;
  const std::int64_t* b_starts;     // (columns): start of each column in b
  const std::int64_t* sum_columns;  // (columns): start of its sums in a filter row
  int columns;
  bool first;   // overwrites the sums
  float* sums;  // (panels, filter rows, columns, tile)
  std::int64_t sums_panel, sums_row;
  Ahead *ahead_a, *ahead_b;
};

/// Pixels of `channels` adjacent channels, `step` elements apart.
struct PixelRow {
  std::int64_t pixels, step;
  int channels;
};
/// Where a channel block of a pixel is packed: pixels are `step` apart, blocks of channels `plane`.
struct PackedRow {
  Bits16* to;
  std::int64_t step, plane;
};

/// A part of the weights that becomes one tile of B. The tile is padded with zeros.
struct FilterTile {
  const float* from;
  std::int64_t stride;
  int rows, length;  // rows of adjacent weights
};

struct TileKernels16 {
  const char* name;  ///< "amx", "avx512_bf16", "emulated"
  int rate;          ///< multiply-adds per cycle, relative to those of float32 vectors of the same processor
  void (*configure)();
  void (*release)();
  void (*row_product)(const RowProduct&);
  void (*outer_product)(const OuterProduct&);
  /// Copies pixels in blocks of 32 channels, the last padded with zeros. All zeros if `from` is null.
  void (*pack_pixels)(const PixelRow&, const Bits16* from, const PackedRow&);
  /// Pairs the pixels of two rows, in blocks of 16 channels padded with zeros: (16, 2). A null row is zero.
  void (*pair_pixels)(const PixelRow&, const Bits16* even, const Bits16* odd, const PackedRow&);
  /// Transposes tiles of 16 x 16 pairs, from each tile (pairs, channels, 2) of B to a tile (channels, pairs, 2) of A.
  void (*transpose_pairs)(const Bits16* from, std::int64_t tiles, Bits16* to);
  /// A tile of B from weights (columns <= 16, depth <= 32), rounded.
  void (*pack_filters)(const FilterTile&, Bits16* to);
  /// A tile of B from weights (depth <= 32, columns <= 16), rounded.
  void (*pack_rotated)(const FilterTile&, Bits16* to);
};

}  // namespace apam::kernels::cpu
