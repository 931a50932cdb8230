// Forward and backward-input of convolution and linear layer:
//   y[row, j] (+)= sum over taps t, channels l of x[pixel(row, t), l] * w_t[l, j]
// A row is an output pixel. Tap t reads input pixel (u * step + dh_t, v * step + dw_t), zero outside x. There is no im2col: a
// block of rows has a table of pointers to its input pixels, and the micro-kernel gathers x through them (Dukhan, "The Indirect
// Convolution Algorithm", 2019). The weights are packed into panels once per call. If x has few channels, a tap is a whole row
// of the filter: its pixels are contiguous in memory, and only those at the image's edges are copied.
//
// Cache blocking: a work item is a block of row tiles and a group of panels; scheduling is dynamic. Within an item the sum is
// split so that the current piece of a panel (at most 32 KiB) stays in the L1 cache while the block's input streams from L2.
// The order of summation is fixed, so results depend neither on the blocking of rows and columns nor on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/taps.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

/// Output pixels with the same taps: all pixels in a forward pass; with stride 2, one parity of rows and columns in a backward
/// pass. Pixel (u, v) of the grid is at offset first + u * row + v * column in an output image.
struct Phase {
  int grid_h, grid_w;
  std::int64_t first, row, column;
  std::vector<Tap> taps;  ///< empty: the sum is zero
};

struct GatherShape {
  int images;
  PixelMap in;                                 ///< x: (images, h, w, channels)
  int span;                                    ///< adjacent pixels per tap; their weights are contiguous
  int columns;                                 ///< of y
  std::int64_t out_image;                      ///< floats in an output image
  std::int64_t channel_stride, column_stride;  ///< of w_t
  std::vector<Phase> phases;
};

class GatherProduct {
 public:
  GatherProduct(Exec& exec, GatherShape shape, const Isa& isa);

  void run(Exec& exec, const float* x, const float* w, bool accumulate, float* y) const;

 private:
  /// A work item: row tiles and panels.
  struct Item {
    int phase;
    std::int64_t first_tile, tiles;
    int first_panel, panels;
  };
  /// Packed weights of a phase, and the ranges of its sum.
  struct PhasePlan {
    std::int64_t rows;     // output pixels in all images
    std::int64_t depth;    // taps * channels
    Region<float> packed;  // (panels, depth, panel)
    std::vector<TapRange> ranges;
  };
  struct Operands {
    const float* x;
    float* y;
    bool accumulate, stream;
    std::byte* workspace;
  };

  /// An output pixel.
  struct Place {
    std::int64_t image;
    int u, v;
  };

  void plan_ranges(const Phase& phase, PhasePlan& plan) const;
  void plan_items(int threads);
  void pack_weights(Exec& exec, const float* w, std::byte* workspace) const;
  void pack_panel(const Phase& phase, const float* w, int panel, float* to) const;
  void run_item(const Item& item, const Operands& operands, int thread) const;
  RowTiles part(const RowTiles& listed, std::int64_t first, std::int64_t count) const;
  void prefetch(const RowTiles& tiles, Range rows, const Item& item, bool stream) const;
  RowTiles list_rows(const Item& item, const Operands& operands, int thread) const;
  void start_line(const Phase& phase, const Place& at, const float* x, const float** starts) const;
  void copy_edge(const float* start, int column, float* to) const;

  GatherShape shape_;
  const Isa& isa_;
  const TileKernels& kernels_;
  int panels_;
  std::int64_t piece_;  // floats per tap: span * channels
  bool zeros_first_;    // some output pixels have no taps
  std::vector<PhasePlan> plans_;
  std::vector<Item> items_;
  std::int64_t block_tiles_ = 0, max_taps_ = 0;
  WorkspacePlan workspace_;
  Region<float> zeros_;                       // (piece)
  std::vector<Region<const float*>> in_;      // per thread: (block tiles, taps, tile rows)
  std::vector<Region<float*>> out_;           // per thread: (block tiles, tile rows)
  std::vector<Region<float>> discarded_;      // per thread: (columns), output of padded rows
  std::vector<Region<const float*>> starts_;  // per thread: (taps), the input line of each tap
  std::vector<Region<float>> edges_;          // per thread, if span > 1: (block tiles, tile rows, taps, piece)
};

}  // namespace apam::kernels::cpu
