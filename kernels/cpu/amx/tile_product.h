// Products on a tile unit (tile_unit.h): register blocks of 2 x 2 tiles of C, or 4 x 1 for a last odd panel.
//
// Four accumulators hide the latency of the products (52 cycles, one product per 16), and a block of 2 x 2 loads one tile per
// product: 8 cycles from the L1 cache, but about 30 from L2. Callers therefore keep one operand in L1.
#pragma once

#include "kernels/cpu/amx/tables.h"

namespace apam::kernels::cpu {
namespace {

/// Where a block of rows x columns tiles of C is in memory.
template <int kColumns>
struct SumTiles {
  float* column[kColumns];  // first row
  std::int64_t row;         // from row to row

  float* tile(int index) const { return column[index % kColumns] + index / kColumns * row; }
};

template <class Unit, int kTile, int kTiles, int kColumns>
inline void load_sums(Unit& unit, const SumTiles<kColumns>& sums, bool first) {
  if constexpr (kTile < kTiles) {
    if (first) {
      unit.template zero<kTile>();
    } else {
      unit.template load<kTile>(sums.tile(kTile), kTileStride);
    }
    load_sums<Unit, kTile + 1, kTiles>(unit, sums, first);
  }
}

template <class Unit, int kTile, int kTiles, int kColumns>
inline void store_sums(Unit& unit, const SumTiles<kColumns>& sums) {
  if constexpr (kTile < kTiles) {
    unit.template store<kTile>(sums.tile(kTile), kTileStride);
    store_sums<Unit, kTile + 1, kTiles>(unit, sums);
  }
}

inline void prefetch(Ahead& ahead) {
  for (std::int64_t i = 0; i < ahead.share && ahead.row < ahead.rows; ++i) {
    __builtin_prefetch(ahead.at + ahead.row * ahead.stride + ahead.line * kTileDepth, 0, 2);
    if (++ahead.line < ahead.lines) continue;
    ahead.line = 0;
    ++ahead.row;
  }
}

/// Tiles 0 to 3: C, row by row; 4, 5: A; 6, 7: B.
template <class Unit, int kRows, int kColumns>
inline void multiply_block(Unit& unit, const Bits16* const* a, const Bits16* const* b, int b_scale, const TileSteps& steps,
                           const SumTiles<kColumns>& sums, bool first) {
  static_assert(kRows * kColumns <= 4 && kColumns <= 2 && kRows != 3);
  load_sums<Unit, 0, kRows * kColumns>(unit, sums, first);
  for (int i = 0; i < steps.count; ++i) {
    const std::int64_t at_a = steps.at[i].a, at_b = std::int64_t{steps.at[i].b} * b_scale;
    unit.template load<4>(a[0] + at_a, kTileStride);
    unit.template load<6>(b[0] + at_b, kTileStride);
    unit.template multiply<0, 4, 6>();
    if constexpr (kColumns == 2) {
      unit.template load<7>(b[1] + at_b, kTileStride);
      unit.template multiply<1, 4, 7>();
    }
    if constexpr (kRows >= 2) {
      unit.template load<5>(a[1] + at_a, kTileStride);
      unit.template multiply<kColumns, 5, 6>();
      if constexpr (kColumns == 2) unit.template multiply<3, 5, 7>();
    }
    if constexpr (kRows == 4) {
      unit.template load<4>(a[2] + at_a, kTileStride);
      unit.template multiply<2, 4, 6>();
      unit.template load<5>(a[3] + at_a, kTileStride);
      unit.template multiply<3, 5, 6>();
    }
  }
  store_sums<Unit, 0, kRows * kColumns>(unit, sums);
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

template <class Unit, int kColumns>
inline void write_rows(const RowProduct& product, const RowTile& tile, const float* sums) {
  for (int i = 0; i < kTileRows; ++i) {
    if (tile.out[i] == RowTile::kDiscarded) continue;
    Bits16* y = product.y + tile.out[i];
    for (int j = 0; j < kColumns; ++j, y += kTileColumns) {
      const float* row = sums + j * kTileSums + i * kTileColumns;
      const int columns = product.columns - j * kTileColumns;
      if (columns >= kTileColumns) {
        Unit::round(row, product.accumulate, y);
      } else {
        round_part<Unit>(row, columns, product.accumulate, y);
      }
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
  const Bits16* b[kColumns];
  for (int j = 0; j < kColumns; ++j) b[j] = product.b + j * kTileBits;
  for (; tile + kRows <= product.count; tile += kRows) {
    prefetch(*product.ahead);
    if (product.last) prefetch_rows<kRows>(product, product.tiles + tile);
    const Bits16* a[kRows];
    for (int i = 0; i < kRows; ++i) a[i] = product.a + product.tiles[tile + i].a;
    float* at = product.sums + (whole ? 0 : std::int64_t{tile} * kColumns * kTileSums);
    SumTiles<kColumns> sums{{}, kColumns * kTileSums};
    for (int j = 0; j < kColumns; ++j) sums.column[j] = at + j * kTileSums;
    multiply_block<Unit, kRows, kColumns>(unit, a, b, kColumns * kTileBits, product.steps, sums, product.first);
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
  const Bits16* a[kRows];
  for (int i = 0; i < kRows; ++i) a[i] = product.a + (panel + i) * product.a_panel;
  const Bits16* b[kColumns];
  SumTiles<kColumns> sums{{}, product.sums_panel};
  for (int j = 0; j < kColumns; ++j) {
    b[j] = product.b + product.b_starts[column + j];
    sums.column[j] =
        product.sums + panel * product.sums_panel + filter_row * product.sums_row + product.sum_columns[column + j];
  }
  multiply_block<Unit, kRows, kColumns>(unit, a, b, 1, steps, sums, product.first);
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
