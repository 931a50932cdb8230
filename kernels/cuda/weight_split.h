// Into how many splits the pixels of a weight gradient are divided, and with which tile, on the host side: the choice that is
// estimated to take the fewest cycles. More splits keep more multiprocessors busy; but the sums of all splits of a tile are
// written, and added by a few blocks.
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <type_traits>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/operands.h"
#include "kernels/cuda/tile_shape.h"

namespace apam::kernels::cuda {

struct WeightSplit {
  TileSize tile = TileSize::t64x64;
  int splits = 1, stages = 1;  ///< stages per split; the last one may have fewer
};

template <class T>
inline constexpr TileCost kWeightTileCosts[] = {{TileSize::t128x128, 32, 600, 450, 2},
                                                {TileSize::t128x64, 64, 620, 460, 2},
                                                {TileSize::t64x128, 64, 640, 480, 2},
                                                {TileSize::t64x64, 64, 370, 270, 2}};
template <>
inline constexpr TileCost kWeightTileCosts<float>[] = {{TileSize::t64x64, 16, 1500, 560, 3}};

/// Estimated cycles to add the sums of all splits (last_block.h).
inline double joining_cycles(const TileShape& shape, double tiles, int splits) {
  constexpr double kLevel = 2500;     // counters and fences
  constexpr double kBlockBytes = 45;  // that one block reads per cycle
  if (splits == 1) return 0;
  const PartGroups parts = PartGroups::of(splits);
  const double bytes = 4.0 * shape.rows * shape.columns;
  const int levels = parts.groups() == 1 ? 1 : 2, reads = parts.per_group + (levels == 1 ? 0 : parts.groups());
  return levels * kLevel + reads * bytes / kBlockBytes + 2 * bytes * tiles * splits / kL2BytesPerCycle;
}

/// A product: filters x columns. `packed`: its chunks are read element by element. `wgmma`: by
/// which tiles.
struct WeightWork {
  std::int64_t filters, columns, pixels;
  bool packed;
  bool wgmma;
};

/// Estimated cycles of a product whose elements have `bytes`.
inline double weight_cycles(const WeightWork& work, const TileCost& tile, const WeightSplit& split, std::size_t bytes) {
  constexpr double kPacked = 2.2;  // times as many instructions as with whole chunks
  const TileShape shape = shape_of(tile.size);
  const std::int64_t tiles = ceil_div(work.filters, shape.rows) * ceil_div(work.columns, shape.columns);
  const std::int64_t blocks = tiles * split.splits;
  const auto wave = [&](std::int64_t resident) {
    const double stage = std::max(tile.alone, static_cast<double>(resident) * tile.crowded) * (work.packed ? kPacked : 1);
    return resident == 0 ? 0 : stage * split.stages + kBlockCycles;
  };
  const std::int64_t most = ceil_div(blocks, kMultiprocessors);  // per multiprocessor
  const double busy = static_cast<double>(most / tile.resident) * wave(tile.resident) + wave(most % tile.resident);
  const double pixel_bytes = static_cast<double>(bytes) * (shape.rows + shape.columns);
  const double loads = static_cast<double>(blocks) * split.stages * tile.depth * pixel_bytes / kL2BytesPerCycle;
  return std::max(busy, loads) + joining_cycles(shape, static_cast<double>(tiles), split.splits);
}

/// The split that is estimated to be fastest; `wanted` fixes the tile. Where chunks are packed, it is a small one: others have
/// no registers left for elements read ahead.
template <class T>
WeightSplit split_weight(TileSize wanted, const WeightWork& work) {
  constexpr std::int64_t kMostSplits = 256;
  if (work.packed && wanted == TileSize::best && !work.wgmma) wanted = TileSize::t64x64;
  if (std::is_same_v<T, float>) wanted = TileSize::best;
  WeightSplit best;
  double least = std::numeric_limits<double>::infinity();
  const std::span<const TileCost> tiles = kWeightTileCosts<T>, by_wgmma = kWgmmaCosts;
  for (const TileCost& tile : work.wgmma ? by_wgmma : tiles) {
    if (wanted != TileSize::best && wanted != tile.size) continue;
    const std::int64_t stages = ceil_div(work.pixels, tile.depth);
    for (std::int64_t most = 1; most <= std::min(stages, kMostSplits); ++most) {
      const std::int64_t per_split = ceil_div(stages, most);
      const WeightSplit split{tile.size, static_cast<int>(ceil_div(stages, per_split)), static_cast<int>(per_split)};
      const double cycles = weight_cycles(work, tile, split, sizeof(T));
      if (cycles >= least) continue;
      least = cycles;
      best = split;
    }
  }
  return best;
}

}  // namespace apam::kernels::cuda
