// Winograd weight gradient, the forward method transposed (transforms: vector/winograd.h):
//   V (points, tiles, C): transformed input tiles;  D (points, tiles, K): transformed tiles of dy
//   S (filter points, K, C) = D' V, summed over tiles and over the points of a filter point;  dw (K, 3, 3, C): transformed S
//
// A work item is a block of S, about 64 x 64 (k, c), over a group of tiles. For each chunk of tiles, V and D are computed for
// the block's channels only and multiplied. S accumulates over the chunks and is transformed to a block of dw at the end. All
// three stay in the thread's L2 cache. V is recomputed for every block of K, and D for every block of C; sharing them between
// blocks is slower, since they would pass through the next cache level (docs/results.md).
//
// The first group writes dw, every other group its own copy of dw; the copies are added in order. Groups and chunks depend only
// on the problem, so results do not depend on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

/// T: the type in which activations are stored, float or Bits16.
template <class T>
class WinogradWeight {
 public:
  WinogradWeight(Exec& exec, const TileGrid& grid, const Isa& isa);

  void run(Exec& exec, const T* x, const T* dy, bool accumulate, float* dw) const;

 private:
  struct Operands {
    const T* x;
    const T* dy;
    float* dw;
    bool accumulate;
    std::byte* workspace;
  };
  /// A block of S: `k` output channels starting with first_k, `c` input channels starting with first_c.
  struct Block {
    std::int64_t first_k, k, first_c, c;
  };
  /// A thread's buffers for one block.
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
  const WinogradKernels<T>& transforms_;
  const WinogradFilterKernels& filter_transforms_;
  const PointwiseKernels<float>& pointwise_;
  std::int64_t c_, k_;
  std::int64_t block_c_, block_k_, c_blocks_, k_blocks_;
  std::int64_t groups_, chunk_tiles_;
  std::int64_t v_plane_;  // V: (points, chunk tiles, block c)
  std::int64_t d_plane_;  // D: (points, chunk tiles, block k)
  std::int64_t s_plane_;  // S: (filter points, block k, block c)
  WorkspacePlan workspace_;
  Region<T> zeros_;                       // (max(C, K))
  Region<float> copies_;                  // (K, 3, 3, C) per group except the first
  std::vector<Region<float>> v_, d_, s_;  // per thread
};

extern template class WinogradWeight<float>;
extern template class WinogradWeight<Bits16>;

}  // namespace apam::kernels::cpu
