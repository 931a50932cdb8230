// Winograd convolution, forward and backward-input (transforms: vector/winograd.h):
//   V (points, tiles, C): transformed input tiles;  U (filter points, C, K): transformed filters
//   M (points, tiles, K) = V U;  outputs: transformed M
// There are 36 filter points (25 with small tiles), for 36 (25) points with stride 1 and for 81 points with stride 2.
//
// Two ways to divide the work:
//   many tiles: U is computed first, by all threads. A work item is a block of tiles; it runs all three steps, with V and M in
//     the L2 cache while slices of U stream through.
//   few tiles, many channels: V is computed first, for all tiles. A work item is a panel of output channels. Its part of U,
//     which is larger than V here, is computed on the fly, a piece of C at a time, and never leaves the thread's cache.
// Sums over C are in fixed pieces, so results depend neither on the way nor on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

enum class FilterUse : std::uint8_t { forward, rotated };

/// T: the type in which activations are stored, float or Bits16. With Bits16 weights are rounded to bfloat16.
template <class T>
class WinogradProduct {
 public:
  /// `use` rotated: the grid maps dy to dx, and the filters (K, 3, 3, C) are rotated by 180 degrees, K to C.
  WinogradProduct(Exec& exec, const TileGrid& grid, FilterUse use, const Isa& isa);

  void run(Exec& exec, const T* in, const float* w, bool accumulate, T* out) const;

 private:
  struct Operands {
    const T* in;
    const float* w;
    T* out;
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

  std::int64_t weights() const { return columns_ * 9 * channels_; }
  /// Floats per panel of U.
  std::int64_t panel_points() const { return scheme_.filters() * u_plane_; }

  TileGrid grid_;
  TileScheme scheme_;
  FilterUse use_;
  const Isa& isa_;
  const TileKernels& gemm_;
  const WinogradKernels<T>& transforms_;
  const WinogradFilterKernels& filter_transforms_;
  std::int64_t channels_, columns_, panels_;
  bool by_panels_;  // few tiles, many channels
  std::int64_t block_tiles_, slice_panels_;
  std::int64_t v_row_, v_plane_;  // V: (points, block tiles, channels)
  std::int64_t m_row_, m_plane_;  // M: (points, block tiles, slice)
  std::int64_t piece_;            // channels per multiplication; the last piece may be smaller
  std::int64_t u_plane_;          // U: (panels, filter points, channels, panel); by panels, only a piece of the channels
  WorkspacePlan workspace_;
  Region<T> zeros_;                            // (channels)
  Region<float> rounded_;                      // (K, 3, 3, C), with Bits16
  Region<float> filters_;                      // U of all panels; by panels, one panel per thread
  Region<float> shared_input_;                 // V of all tiles, by panels
  std::vector<Region<float>> input_;           // per thread: V
  std::vector<Region<float>> products_;        // per thread: M
  std::vector<Region<float>> transposed_;      // per thread: (9, channels, panel), forward filters transposed
  std::vector<Region<T>> discarded_;           // per thread: (columns), for pixels beyond the image
  std::vector<Region<const float*>> rows_in_;  // per thread: (largest group of points, block tiles)
  std::vector<Region<float*>> rows_out_;       // per thread: the same
};

extern template class WinogradProduct<float>;
extern template class WinogradProduct<Bits16>;

}  // namespace apam::kernels::cpu
