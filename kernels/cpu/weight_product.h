// Weight gradient of convolution and linear layer:
//   dw[k, t, l] (+)= sum over rows of dy[row, k] * x[pixel(row, t), l]
// Rows are output pixels, processed in blocks. A block of dy is packed into tiles, and x into one panel of columns (t, l) at a
// time, which stays in the L1 cache while all tiles of dy are multiplied with it.
//
// A work item is a chunk of rows, a group of output channels and a group of panels; scheduling is dynamic. Each chunk has its
// own copy of dw, and the copies are added in order. The number of chunks depends only on the problem, so the result does not
// depend on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/taps.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

struct WeightShape {
  int images;
  PixelMap in;         ///< x: (images, h, w, channels)
  int grid_h, grid_w;  ///< dy: (images, grid_h, grid_w, k)
  int k;
  std::vector<Tap> taps;  ///< dw: (k, taps, channels)
};

class WeightProduct {
 public:
  WeightProduct(Exec& exec, WeightShape shape, const Isa& isa);

  void run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const;

 private:
  struct Item {
    int chunk;
    Range blocks;    // of rows
    int first_k, k;  // output channels
    Range panels;
  };
  struct Operands {
    const float* x;
    const float* dy;
    float* dw;
    bool accumulate;
    std::byte* workspace;
  };

  void plan_items(int threads);
  void run_item(const Item& item, const Operands& operands, int thread) const;
  void prefetch_block(std::int64_t block, std::int64_t panel, const Item& item, const Operands& operands) const;
  void list_pixels(Range rows, const Operands& operands, int thread) const;
  void pack_panel(std::int64_t panel, std::int64_t rows, const Operands& operands, int thread) const;
  void add_chunks(Exec& exec, const Operands& operands) const;

  WeightShape shape_;
  const Isa& isa_;
  const TileKernels& kernels_;
  std::int64_t rows_;     // output pixels in all images
  std::int64_t columns_;  // taps * channels
  std::int64_t panels_;
  std::int64_t block_rows_;
  std::int64_t chunks_;
  int group_k_;  // maximum number of output channels per item
  std::vector<Item> items_;
  WorkspacePlan workspace_;
  Region<float> zeros_;                       // (channels)
  Region<float> sums_;                        // (chunks, k, columns); empty for one chunk
  std::vector<Region<const float*>> pixels_;  // per thread: (taps, block rows)
  std::vector<Region<float>> tiles_;          // per thread: block of dy, packed
  std::vector<Region<float>> panel_;          // per thread: (block rows, panel)
};

}  // namespace apam::kernels::cpu
