// Winograd convolution, forward and backward-input (the transforms are in vector/winograd.h):
//   points of the input tiles V (points, tiles, C), of the filters U (filter points, C, K), products M = V U (points, tiles,
//   K), outputs from M. There are 36 filter points (25 of small tiles), with stride 1 for as many points, with stride 2 for 81.
//
// Two ways to share the work out:
//   many tiles: U is made first, by all threads; an item is a block of tiles, taken through all three steps, so
//     that V and M stay in the second-level cache while slices of U pass by.
//   few tiles, many channels: V is made first, for all tiles; an item is a panel of output channels, whose U (of which there
//     is more than of V) is made on the way, a piece of C at a time, and never leaves the cache of the thread that uses it.
// Sums are over C in fixed pieces, so results depend neither on the way nor on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/workspace_plan.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

enum class FilterUse : std::uint8_t { forward, rotated };

class WinogradProduct {
 public:
  /// `use` rotated: the grid maps dy to dx, and the filters (K, 3, 3, C) are read turned by 180 degrees, K to C.
  WinogradProduct(Exec& exec, const TileGrid& grid, FilterUse use, const Isa& isa);

  void run(Exec& exec, const float* in, const float* w, bool accumulate, float* out) const;

 private:
  struct Operands {
    const float* in;
    const float* w;
    float* out;
    bool accumulate, stream;
    std::byte* workspace;
  };

  /// V of some tiles and U of some panels.
  struct Factors {
    const float *v, *u;
  };

  void run_tile_blocks(Exec& exec, const Operands& operands) const;
  void run_panels(Exec& exec, const Operands& operands) const;
  void transform_filter(std::int64_t panel, Range channels, const Operands& operands, int thread, float* to) const;
  void transform_input(Range tiles, const Operands& operands, float* to) const;
  void multiply(Range tiles, Range panels, Range channels, const Factors& factors, int thread, std::byte* workspace) const;
  void transform_output(Range tiles, Range panels, const Operands& operands, int thread) const;

  /// Floats of the points of a panel of filters.
  std::int64_t panel_points() const { return scheme_.filters() * u_plane_; }

  TileGrid grid_;
  TileScheme scheme_;
  FilterUse use_;
  const Isa& isa_;
  const TileKernels& gemm_;
  const WinogradKernels& transforms_;
  std::int64_t channels_, columns_, panels_;
  bool by_panels_;  // the second way
  std::int64_t block_tiles_, slice_panels_;
  std::int64_t v_row_, v_plane_;  // V: (points, block tiles, channels)
  std::int64_t m_row_, m_plane_;  // M: (points, block tiles, slice)
  std::int64_t piece_;            // channels that are multiplied at once, the last piece may be smaller
  std::int64_t u_plane_;          // U: (panels, filter points, channels, panel), by panels only of a piece of the channels
  WorkspacePlan workspace_;
  Region<float> zeros_;                        // (channels)
  Region<float> filters_;                      // U of all panels; by panels, of one a thread
  Region<float> shared_input_;                 // V of all tiles, by panels
  std::vector<Region<float>> input_;           // each thread's V
  std::vector<Region<float>> products_;        // each thread's M
  std::vector<Region<float>> turned_;          // each thread's: (9, channels, panel), forward filters transposed
  std::vector<Region<float>> junk_;            // each thread's: (columns), for pixels beyond the image
  std::vector<Region<const float*>> rows_in_;  // each thread's: (largest group of points, block tiles)
  std::vector<Region<float*>> rows_out_;       // each thread's: the same
};

}  // namespace apam::kernels::cpu
