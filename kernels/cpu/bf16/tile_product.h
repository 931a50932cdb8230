// Products of many tiles on a unit of tile_unit.h, in blocks of 2 x 2 tiles of C, or 4 x 1 for a last odd panel.
#pragma once

#include "kernels/cpu/bf16/tables.h"

namespace apam::kernels::cpu {
namespace {

inline void prefetch(Ahead& ahead) {
  for (std::int64_t i = 0; i < ahead.share && ahead.row < ahead.rows; ++i) {
    __builtin_prefetch(ahead.at + ahead.row * ahead.stride + ahead.line * kTileDepth, 0, 2);
    if (++ahead.line < ahead.lines) continue;
    ahead.line = 0;
    ++ahead.row;
  }
}

/// Unit::round for up to 16 elements.
template <class Unit>
inline void round_part(const float* from, int count, bool accumulate, Bits16* to) {
  float sums[kTileColumns] = {};
  Bits16 rounded[kTileColumns] = {};
  for (int j = 0; j < count; ++j) {
    sums[j] = from[j];
    rounded[j] = to[j];
  }
  Unit::round(sums, accumulate, rounded);
  for (int j = 0; j < count; ++j) to[j] = rounded[j];
}

/// All columns of the rows that are written.
template <class Unit, int kColumns, bool kAccumulate>
inline void write_whole_rows(Bits16* y, const RowTile& tile, const float* sums) {
  for (int i = 0; i < kTileRows; ++i, sums += kTileColumns) {
    if (tile.out[i] == RowTile::kDiscarded) continue;
    Bits16* row = y + tile.out[i];
    for (int j = 0; j < kColumns; ++j) Unit::round(sums + j * kTileSums, kAccumulate, row + j * kTileColumns);
  }
}

template <class Unit, int kColumns>
inline void write_rows(const RowProduct& product, const RowTile& tile, const float* sums) {
  const bool accumulate = product.accumulate;
  if (product.columns == kColumns * kTileColumns) {
    if (accumulate) return write_whole_rows<Unit, kColumns, true>(product.y, tile, sums);
    return write_whole_rows<Unit, kColumns, false>(product.y, tile, sums);
  }
  for (int i = 0; i < kTileRows; ++i) {
    if (tile.out[i] == RowTile::kDiscarded) continue;
    for (int j = 0; j < kColumns; ++j) {
      const int columns = product.columns - j * kTileColumns;
      round_part<Unit>(sums + j * kTileSums + i * kTileColumns, columns < kTileColumns ? columns : kTileColumns, accumulate,
                       product.y + tile.out[i] + j * kTileColumns);
    }
  }
}

/// Fetches the cache lines of y, which are needed after the products. Into L2: the rows of 16 images may be in one set of L1.
template <int kRows>
inline void prefetch_rows(const RowProduct& product, const RowTile* tiles) {
  for (int tile = 0; tile < kRows; ++tile) {
    for (const std::int64_t out : tiles[tile].out) {
      if (out != RowTile::kDiscarded) __builtin_prefetch(product.y + out, 1, 2);
    }
  }
}

/// As many blocks of kRows tiles as there are; returns the next tile.
template <class Unit, int kRows, int kColumns>
inline int row_blocks(Unit& unit, const RowProduct& product, int tile) {
  const bool whole = product.first && product.last;
  BlockOperands<kRows, kColumns> in{{}, {}, kColumns * kTileBits};
  for (int j = 0; j < kColumns; ++j) in.b[j] = product.b + j * kTileBits;
  for (; tile + kRows <= product.count; tile += kRows) {
    prefetch(*product.ahead);
    if (product.last) prefetch_rows<kRows>(product, product.tiles + tile);
    for (int i = 0; i < kRows; ++i) in.a[i] = product.a + product.tiles[tile + i].a;
    float* at = product.sums + (whole ? 0 : std::int64_t{tile} * kColumns * kTileSums);
    SumTiles<kColumns> sums{{}, kColumns * kTileSums};
    for (int j = 0; j < kColumns; ++j) sums.column[j] = at + j * kTileSums;
    unit.template multiply_block<kRows, kColumns>(in, product.steps, sums, product.first);
    if (!product.last) continue;
    for (int i = 0; i < kRows; ++i) {
      write_rows<Unit, kColumns>(product, product.tiles[tile + i], at + std::int64_t{i} * kColumns * kTileSums);
    }
  }
  return tile;
}

template <class Unit>
void row_product(const RowProduct& product) {
  Unit unit;
  if (product.panels == 2) {
    row_blocks<Unit, 1, 2>(unit, product, row_blocks<Unit, 2, 2>(unit, product, 0));
  } else {
    const int tile = row_blocks<Unit, 2, 1>(unit, product, row_blocks<Unit, 4, 1>(unit, product, 0));
    row_blocks<Unit, 1, 1>(unit, product, tile);
  }
}

/// One block of C in a filter row: kRows panels of A, kColumns columns of B.
template <class Unit, int kRows, int kColumns>
inline void outer_block(Unit& unit, const OuterProduct& product, int panel, int filter_row, int column) {
  const TileSteps& steps = product.steps[filter_row];
  prefetch(*product.ahead_a);
  prefetch(*product.ahead_b);
  if (steps.count == 0 && !product.first) return;
  BlockOperands<kRows, kColumns> in{{}, {}, 1};
  for (int i = 0; i < kRows; ++i) in.a[i] = product.a + (panel + i) * product.a_panel;
  SumTiles<kColumns> sums{{}, product.sums_panel};
  for (int j = 0; j < kColumns; ++j) {
    in.b[j] = product.b + product.b_starts[column + j];
    sums.column[j] =
        product.sums + panel * product.sums_panel + filter_row * product.sums_row + product.sum_columns[column + j];
  }
  unit.template multiply_block<kRows, kColumns>(in, steps, sums, product.first);
}

template <class Unit, int kRows>
inline void outer_row(Unit& unit, const OuterProduct& product, int panel, int filter_row) {
  int column = 0;
  for (; column + 2 <= product.columns; column += 2) outer_block<Unit, kRows, 2>(unit, product, panel, filter_row, column);
  if (column < product.columns) outer_block<Unit, kRows, 1>(unit, product, panel, filter_row, column);
}

/// Two panels of A stay in the L1 cache while the columns of all filter rows pass.
template <class Unit>
void outer_product(const OuterProduct& product) {
  Unit unit;
  int panel = 0;
  for (; panel + 2 <= product.panels; panel += 2) {
    for (int r = 0; r < product.filter_rows; ++r) outer_row<Unit, 2>(unit, product, panel, r);
  }
  if (panel == product.panels) return;
  for (int r = 0; r < product.filter_rows; ++r) outer_row<Unit, 1>(unit, product, panel, r);
}

}  // namespace
}  // namespace apam::kernels::cpu
