// The product behind a convolution's forward and backward-input pass, and behind a linear layer:
//   y[row, j] (+)= sum over taps t, channels l of x[pixel(row, t), l] * w_t[l, j]
// A row is a pixel of the output; tap t finds its input pixel at (u * step + dh_t, v * step + dw_t), zero outside x. No
// im2col: a block of rows lists pointers to its input pixels, and the micro-kernel reads x where it lies (Dukhan, "The
// Indirect Convolution Algorithm", 2019). The weights are packed into panels once a call. Where x has few channels a tap is
// a whole row of the filter: the pixels side by side that it meets are one piece of memory, copied at the image's edge only.
//
// Blocking: an item of work is a block of row tiles and a group of panels. Inside it the sum is cut so that the piece of a
// panel (at most 32 KiB) stays in the first-level cache while the block's input, in the second level, passes by.
// Threads take items as they come. A sum is always added up in the same order, so results depend neither on how rows and
// columns are cut nor on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/taps.h"
#include "kernels/cpu/workspace_plan.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

/// Output pixels that share their taps: all of them in a forward pass; one parity of rows and columns in a backward pass
/// with stride 2. Pixel (u, v) of the grid starts at first + u * row + v * column floats in an output image.
struct Phase {
  int grid_h, grid_w;
  std::int64_t first, row, column;
  std::vector<Tap> taps;  ///< none: what is summed is zero
};

struct GatherShape {
  int images;
  PixelMap in;                                 ///< x: (images, h, w, channels)
  int span;                                    ///< pixels side by side that a tap meets, whose weights follow each other
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
  /// Row tiles and panels that a thread takes at once.
  struct Item {
    int phase;
    std::int64_t first_tile, tiles;
    int first_panel, panels;
  };
  /// What is settled for a phase: where its packed weights lie, and how its sum is cut.
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

  /// A row of the list: an output pixel.
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
  std::int64_t piece_;  // floats that a tap meets: span * channels
  bool zeros_first_;    // some output pixels meet no tap
  std::vector<PhasePlan> plans_;
  std::vector<Item> items_;
  std::int64_t block_tiles_ = 0, max_taps_ = 0;
  WorkspacePlan workspace_;
  Region<float> zeros_;                       // (piece)
  std::vector<Region<const float*>> in_;      // each thread's: (block tiles, taps, tile rows)
  std::vector<Region<float*>> out_;           // each thread's: (block tiles, tile rows)
  std::vector<Region<float>> junk_;           // each thread's: (columns), where rows beyond the last one are written
  std::vector<Region<const float*>> starts_;  // each thread's: (taps), the input line that each tap meets
  std::vector<Region<float>> edges_;          // each thread's, where span > 1: (block tiles, tile rows, taps, piece)
};

}  // namespace apam::kernels::cpu
