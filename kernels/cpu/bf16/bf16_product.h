// Forward and backward-input of convolution in bfloat16 by products of tiles:
//   y[row, j] (+)= sum over taps t, channels l of x[pixel(row, t), l] * w_t[l, j]
// with float32 sums that are rounded once. The shape is the one of gather_product.h; tile_plan.h maps rows to tiles.
//
// Once per call the weights are rounded and packed in tiles of B: (groups of two panels, depth blocks, taps, panels, tile). A
// work item is a band of lines of a block of images, and some groups; scheduling is dynamic. An item packs its input, which
// then stays in the L2 cache, and prefetches the next item's input during the products. For each group it splits the sum into
// chunks of whole depth blocks, whose weights stay in the L1 cache while all tiles of the item pass: their input is read from
// L2 once per chunk and reused by all taps. Sums between chunks are kept as tiles.
//
// The order of summation is depth block by depth block, tap by tap, so results do not depend on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/bf16/tables.h"
#include "kernels/cpu/bf16/tile_plan.h"
#include "kernels/ops/conv2d.h"
#include "kernels/runtime/dtype.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

class Bf16Product {
 public:
  /// `pass` is forward or backward_input.
  Bf16Product(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, const TileKernels16& kernels);

  /// Forward: x (N, H, W, C), y (N, P, Q, K). Backward: x is dy (N, P, Q, K), y is dx (N, H, W, C). w (K, R, S, C). With
  /// `accumulate`, the float32 sum is added to y's old value before it is rounded.
  void run(Exec& exec, const BFloat16* x, const float* w, bool accumulate, BFloat16* y) const;

 private:
  /// A band of lines in a block of images, and a range of groups.
  struct Item {
    std::int64_t block, band;
    Range groups;
  };
  struct PhasePlan {
    int taps, chunk_blocks;  // depth blocks per chunk
    Region<Bits16> packed;   // weights
  };
  /// The same taps of all depth blocks: steps [block * taps, (block + 1) * taps) are of one block.
  struct StepList {
    int phase;
    std::vector<int> taps;
    std::vector<TileStep> steps;
  };
  struct Run {
    int steps;  // index in step_lists_
    std::int64_t first, count;
  };
  /// The tiles of a phase in a band.
  struct BandTiles {
    std::vector<RowTile> tiles;
    std::vector<Run> runs;
    std::int64_t blocks;  // of products, per group and chunk
  };
  struct PhaseTap {
    int phase, tap;
  };
  /// A tile of packed weights.
  struct WeightTile {
    int phase, tap, block, panel;
  };
  struct Operands {
    const Bits16* x;
    Bits16* y;
    bool accumulate;
    std::byte* workspace;
  };

  void plan_blocks(int threads);
  void plan_phases();
  void plan_tiles();
  void plan_items(int threads);
  int step_list(int phase, const std::vector<int>& taps);
  std::int64_t images_in(std::int64_t block) const;
  Range lines_of(std::int64_t band) const;
  const BandTiles& tiles_of(const Item& item, std::size_t phase) const;
  int panels_in(std::int64_t group) const;
  void pack_weights(Exec& exec, const float* w, std::byte* workspace) const;
  void pack_tile(const WeightTile& tile, const float* w, std::byte* workspace) const;
  /// `next` is the item that this thread will probably run next, or null.
  void run_item(const Item& item, const Item* next, const Operands& operands, int thread) const;
  Ahead plan_ahead(const Item& item, const Item* next, const Bits16* x) const;
  void pack_block(const Item& item, const Operands& operands, int thread) const;
  void pack_line(const Bits16* image, std::int64_t line, const PackedPixels::Plane& plane, Bits16* to, Bits16* windows) const;
  void multiply_group(const Item& item, std::size_t phase, std::int64_t group, const Operands& operands, Ahead& ahead,
                      int thread) const;

  Conv2d::Problem problem_;
  const TileKernels16& kernels_;
  bool windows_;  // x is packed as windows, see windows.h
  bool rotated_;  // w is (channels, taps, columns) for this pass, not (columns, taps, channels)
  GatherShape shape_;
  bool zeros_first_;  // some output pixels have no taps
  int panels_;        // of 16 output channels
  int blocks_depth_;  // blocks of 32 input channels
  PackedPixels pixels_;
  std::int64_t block_units_ = 1, blocks_ = 1, bands_ = 1, grid_h_ = 0;
  std::int64_t plane_ = 0;  // elements from depth block to depth block of the packed input
  std::vector<PhasePlan> phases_;
  std::vector<PhaseTap> taps_;  // of all phases
  std::vector<StepList> step_lists_;
  std::vector<BandTiles> tiles_;  // (full or last block, bands, phases)
  std::vector<Item> items_;
  WorkspacePlan workspace_;
  std::vector<Region<Bits16>> packed_;        // per thread: input of an item (depth blocks, plane)
  std::vector<Region<float>> sums_;           // per thread
  std::vector<Region<Bits16>> window_lines_;  // per thread, if windows_: (Q, R*S*C)
};

}  // namespace apam::kernels::cpu
