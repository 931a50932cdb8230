// Winograd weight gradient, the forward method transposed (the transforms are in vector/winograd.h):
//   points of the input tiles V (points, tiles, C), of the tiles of dy D (points, tiles, K), products S = D' V summed over
//   tiles and over the points of a filter point (filter points, K, C), dw (K, 3, 3, C) from S.
//
// Tiles are taken in chunks. Of a chunk all V and D are made first; then S comes in blocks of at most 192 x 192
// (k, c), each summed over the whole chunk in registers and turned into a block of dw at once, so that S is never stored
// as a whole. The chunks of the first group add up in dw, those of every other group in a copy of dw; copies are added in
// order. Two ways to share this out:
//   by groups: an item is a group. Where there are four for each thread, which is where channels and threads are few.
//   by blocks: chunks are taken one after the other; tiles and then blocks of S are the items.
// Which chunks and groups there are depends on the problem alone, and both ways add up in the same order: results depend
// neither on the way nor on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/workspace_plan.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

class WinogradWeight {
 public:
  WinogradWeight(Exec& exec, const TileGrid& grid, const Isa& isa);

  void run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const;

 private:
  struct Operands {
    const float* x;
    const float* dy;
    float* dw;
    bool accumulate;
    std::byte* workspace;
  };
  /// Points of a chunk of tiles.
  struct Points {
    float* v;
    float* d;
  };

  void run_groups(Exec& exec, const Operands& operands) const;
  void run_blocks(Exec& exec, const Operands& operands) const;
  void transform(Range tiles, const Operands& operands, const Points& to) const;
  void multiply(std::int64_t block, std::int64_t depth, const Points& points, bool accumulate, float* s, float* dw) const;
  void add_copy(Exec& exec, const float* copy, float* dw) const;

  Range group_tiles(std::int64_t group) const { return split(grid_.count(), group, groups_); }
  std::int64_t blocks() const { return k_blocks_ * c_blocks_; }
  std::int64_t weights() const { return k_ * 9 * c_; }

  TileGrid grid_;
  TileScheme scheme_;
  const Isa& isa_;
  const WinogradKernels& transforms_;
  const WinogradWeightKernels& weight_transforms_;
  std::int64_t c_, k_;
  std::int64_t groups_, chunk_tiles_;
  bool by_groups_;
  std::int64_t k_blocks_, c_blocks_;  // blocks of S
  std::int64_t block_k_, block_c_;    // the largest one
  std::int64_t v_row_, v_plane_;      // V: (points, chunk tiles, C)
  std::int64_t d_row_, d_plane_;      // D: (points, chunk tiles, K)
  std::int64_t s_row_, s_plane_;      // S: (filter points, block k, block c)
  WorkspacePlan workspace_;
  Region<float> zeros_;               // (max(C, K))
  Region<float> copies_;              // (K, 3, 3, C) of each group but the first; by blocks at most one
  std::vector<Region<float>> v_, d_;  // by groups each thread's; otherwise one for all
  std::vector<Region<float>> s_;      // each thread's
};

}  // namespace apam::kernels::cpu
