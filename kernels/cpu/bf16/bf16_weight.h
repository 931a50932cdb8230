// Weight gradient of convolution in bfloat16 by products of tiles:
//   dw[k, r, s, c] (+)= sum over images n and output pixels (p, q) of
//                       dy[n, p, q, k] * x[n, p * stride + r - padding, q * stride + s - padding, c]
// The sum runs over pixels, so that both operands are packed: B needs pairs of x's pixels interleaved, A a transpose of dy. A
// pair is the same pixel of two images, so that a pair stays a pair at every tap. A block of the sum, 32 terms, is 32 / lanes
// adjacent pixels of a line in `lanes` images (a unit; 2 to 32 images, the number that wastes fewest terms).
//   x packed:  (panels of 16 channels, unit, line, plane, column, pair of images, 16 channels, 2)
//   dy packed: (panels of 16 filters, block, 16 filters, 32 terms)
//   sums:      (panels of filters, R, S, panels of channels, 16 filters, 16 channels)
// A tap shifts x by whole pixels, so all its tiles are contiguous pieces of 1 KiB. Stride 2 splits columns into planes by
// parity. Lines outside the image are skipped, columns outside it are zeros.
//
// A work item is a chunk of the bands of lines and a slice of the filters; scheduling is dynamic. An item packs band by band
// into the L2 cache. A band is a sequence of sub-bands whose tiles of x (two panels) and dy (two panels) fit into the L1 cache:
// x is reused for all filters and taps, dy for all taps of two panels of channels; with stride 2, where taps share little, one
// filter row at a time. The slice's sums stay in L2. The next band is prefetched during the products.
//
// Each chunk has its own sums, which are added in order. Bands and chunks depend only on the problem, and within a chunk terms
// are added in the order of images, lines and columns, so the result does not depend on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/bf16/tables.h"
#include "kernels/ops/conv2d.h"
#include "kernels/runtime/dtype.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

class Bf16Weight {
 public:
  Bf16Weight(Exec& exec, const Conv2d::Problem& problem, const TileKernels16& kernels);

  Bf16Weight(const Bf16Weight&) = delete;  // steps point into the object
  Bf16Weight& operator=(const Bf16Weight&) = delete;

  /// x (N, H, W, C), dy (N, P, Q, K), dw (K, R, S, C).
  void run(Exec& exec, const BFloat16* x, const BFloat16* dy, bool accumulate, float* dw) const;

 private:
  struct Item {
    int chunk;
    Range bands, panels;  // panels of filters
  };
  /// The steps of a band with some number of units.
  struct Steps {
    std::int64_t blocks;
    std::vector<TileStep> all;
    std::vector<TileSteps> rows;  // (sub-bands, filter rows), in `all`
  };
  /// Output lines of some units.
  struct Band {
    std::int64_t first_unit, units;
    Range lines;
    int steps;  // index in steps_
  };
  struct Operands {
    const Bits16* x;
    const Bits16* dy;
    float* dw;
    bool accumulate;
    std::byte* workspace;
  };

  void plan_columns();
  void plan_bands();
  int plan_steps(std::int64_t units, Range lines);
  void plan_items(int threads);
  std::int64_t sub_band_bytes(Range part, Range lines) const;
  std::int64_t images_in(const Band& band) const;
  std::int64_t slot(std::int64_t unit, std::int64_t line, std::int64_t plane, std::int64_t column) const;
  float* sums_of(const Item& item, const Operands& operands, int thread) const;
  void run_item(const Item& item, const Operands& operands, int thread) const;
  void pack_x(const Band& band, const Operands& operands, int thread) const;
  void pack_x_line(const Bits16* even, const Bits16* odd, std::int64_t line, Bits16* to, Bits16* windows) const;
  void pack_dy(const Band& band, Range panels, const Operands& operands, int thread) const;
  void multiply_band(const Item& item, std::int64_t band, const Operands& operands, int thread) const;
  Ahead x_ahead(const Band& next, const Bits16* x) const;
  Ahead dy_ahead(const Band& next, Range panels, const Bits16* dy) const;
  void write_filters(Range panels, const float* sums, std::int64_t chunks, const Operands& operands) const;

  Conv2d::Problem problem_;
  const TileKernels16& kernels_;
  bool windows_;           // x is packed as windows, see windows.h
  Conv2d::Problem shape_;  // of the convolution that is computed: the problem, or one of 1x1 on its windows
  int lanes_ = 2;
  int pixels_, line_blocks_;                          // of a line: in a block; blocks
  std::int64_t k_panels_, c_panels_;                  // of 16 channels
  std::vector<int> planes_;                           // column parities
  Range columns_;                                     // packed columns of a plane
  std::vector<std::int64_t> b_starts_, sum_columns_;  // (pairs of channel panels, S, 2), see OuterProduct
  std::int64_t band_units_ = 1, packed_lines_ = 0;    // in a band
  std::int64_t x_panel_ = 0;                          // elements from panel to panel of packed x
  std::int64_t slice_panels_ = 1;                     // maximum number of filter panels per item
  std::int64_t chunks_ = 1;
  std::vector<Steps> steps_;
  std::vector<Band> bands_;
  std::vector<Item> items_;
  WorkspacePlan workspace_;
  std::vector<Region<Bits16>> x_, dy_, dy_line_;  // per thread
  std::vector<Region<Bits16>> window_lines_;      // per thread, if windows_: (2, Q, R*S*C)
  std::vector<Region<float>> sums_;               // per chunk; per thread if there is one chunk
};

}  // namespace apam::kernels::cpu
