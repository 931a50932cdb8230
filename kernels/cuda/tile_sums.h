// Sums of a tile whose depth is split among blocks: each block stores its sums in the workspace, and the last one of a tile
// adds them in the order of the splits (last_block.h), so the result does not depend on the order in which blocks run.
#pragma once

#include "kernels/cuda/last_block.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {

/// What the blocks of all tiles share.
struct SplitSums {
  float* sums;              // (splits, tiles, rows x columns of a tile)
  std::uint32_t* counters;  // (tiles, counters())
  int tiles;
  int counters_per_tile;
};

/// Adds the sums of a tile over its `parts`, of which `tile` holds number `part`. True in the one block that then holds all.
template <class Tile>
DEVICE bool sum_parts(Tile& tile, const SplitSums& all, const PartGroups& parts, int part, int place, Shared<int> scratch) {
  const auto sums = [&](int split) {
    return all.sums + (std::int64_t{split} * all.tiles + place) * (Tile::rows * Tile::columns);
  };
  // Each thread has about 16 reads of four sums in flight, of one part or of several.
  constexpr int kFours = Tile::rows * Tile::columns / (4 * Tile::threads);
  constexpr int kPartsAhead [[maybe_unused]] = kFours < 16 ? 16 / kFours : 1;
  bool done = false;
  tile.put_sums(sums(part));
  join_parts(parts, part, all.counters + place * all.counters_per_tile, scratch, [&](const PartRange& range, bool is_all) {
    tile.clear();
    const int count = (range.end - range.begin + range.step - 1) / range.step;
#pragma unroll kPartsAhead
    for (int i = 0; i < count; ++i) tile.add_sums(sums(range.begin + i * range.step));
    if (!is_all) tile.put_sums(sums(range.begin));
    done = is_all;
  });
  return done;
}

}  // namespace apam::kernels::cuda
