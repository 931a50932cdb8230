// Winograd weight gradient, the forward method transposed (the transforms are in vector/winograd.h):
//   points of the input tiles V (points, tiles, C), of the tiles of dy D (points, tiles, K), products S = D' V summed over
//   tiles and over the points of a filter point (filter points, K, C), dw (K, 3, 3, C) from S.
//
// An item of work is a block of S, some 64 x 64 (k, c), over a group of tiles. V and D of a chunk of tiles are made for the
// channels of the block alone, and multiplied; S adds up over the chunks and becomes a block of dw at the end. All three stay
// in the second-level cache of the thread. Each of V and D is thus made as often as there are blocks on its other side; sharing
// them between blocks costs more, since they would travel through the next level (docs/results.md).
//
// The first group's blocks make up dw, those of every other group a copy of dw; copies are added in order. Which groups and
// chunks there are depends on the problem alone, and so results do not depend on the number of threads.
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
  /// A block of S: `k` output channels from first_k on, `c` input channels from first_c on.
  struct Block {
    std::int64_t first_k, k, first_c, c;
  };
  /// What a thread makes for a block.
  struct Scratch {
    float* v;  // (points, chunk tiles, block c)
    float* d;  // (points, chunk tiles, block k)
    float* s;  // (filter points, block k, block c)
  };

  void run_item(const Block& block, std::int64_t group, const Operands& operands, const Scratch& to) const;
  void transform(Range tiles, const Block& block, const Operands& operands, const Scratch& to) const;
  void multiply(std::int64_t depth, const Block& block, bool accumulate, const Scratch& to) const;
  void add_copies(Exec& exec, const float* copies, float* dw) const;

  Block block(std::int64_t index) const;
  std::int64_t blocks() const { return k_blocks_ * c_blocks_; }
  std::int64_t weights() const { return k_ * 9 * c_; }

  TileGrid grid_;
  TileScheme scheme_;
  const TileKernels& gemm_;
  const WinogradKernels& transforms_;
  const WinogradWeightKernels& weight_transforms_;
  const PointwiseKernels& pointwise_;
  std::int64_t c_, k_;
  std::int64_t block_c_, block_k_, c_blocks_, k_blocks_;
  std::int64_t groups_, chunk_tiles_;
  std::int64_t v_plane_;  // V: (points, chunk tiles, block c)
  std::int64_t d_plane_;  // D: (points, chunk tiles, block k)
  std::int64_t s_plane_;  // S: (filter points, block k, block c)
  WorkspacePlan workspace_;
  Region<float> zeros_;                   // (max(C, K))
  Region<float> copies_;                  // (K, 3, 3, C) of each group but the first
  std::vector<Region<float>> v_, d_, s_;  // each thread's
};

}  // namespace apam::kernels::cpu
