#include "kernels/cpu/weight_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kPanelFloats = 4096;  // per packed panel: half of a 32 KiB L1 cache
constexpr std::int64_t kMaxBlockRows = 256;
constexpr int kGroupChannels = 192;                 // of dy per item: with 256 rows, 192 KiB of the L2 cache
constexpr std::int64_t kProductSumBytes = 4 << 20;  // for the sums of all chunks
constexpr std::int64_t kMaxProductChunks = 16;
constexpr std::int64_t kMinRowBlocks = 4;  // per chunk
constexpr std::int64_t kMinColumns = 128;  // per item: packing dy then costs little compared with the product

}  // namespace

WeightProduct::WeightProduct(Exec& exec, WeightShape shape, const Isa& isa)
    : shape_(std::move(shape)),
      isa_(isa),
      kernels_(best_tile(isa, static_cast<std::int64_t>(shape_.taps.size()) * shape_.in.channels)),
      rows_(std::int64_t{shape_.images} * shape_.grid_h * shape_.grid_w),
      columns_(static_cast<std::int64_t>(shape_.taps.size()) * shape_.in.channels),
      panels_(ceil_div(columns_, kernels_.panel)),
      block_rows_(std::min(kPanelFloats / kernels_.panel, kMaxBlockRows)) {
  const std::int64_t blocks = ceil_div(rows_, block_rows_);
  const std::int64_t sum_floats = std::int64_t{shape_.k} * columns_;
  const auto fitting = static_cast<std::int64_t>(kProductSumBytes / (static_cast<std::int64_t>(sizeof(float)) * sum_floats));
  chunks_ = std::clamp<std::int64_t>(std::min(fitting, blocks / kMinRowBlocks), 1, kMaxProductChunks);
  const std::int64_t groups = ceil_div(shape_.k, kGroupChannels);
  group_k_ = static_cast<int>(round_up(ceil_div(shape_.k, groups), kernels_.rows));
  plan_items(exec.threads());
  zeros_ = workspace_.add<float>(shape_.in.channels);
  sums_ = workspace_.add<float>(chunks_ > 1 ? chunks_ * sum_floats : 0);
  for (int thread = 0; thread < exec.threads(); ++thread) {
    pixels_.push_back(workspace_.add<const float*>(static_cast<std::int64_t>(shape_.taps.size()) * block_rows_));
    tiles_.push_back(workspace_.add<float>(group_k_ * block_rows_));
    panel_.push_back(workspace_.add<float>(kPanelFloats));
  }
  exec.reserve_workspace(workspace_.bytes());
}

void WeightProduct::plan_items(int threads) {
  const std::int64_t blocks = ceil_div(rows_, block_rows_);
  const std::int64_t groups = ceil_div(shape_.k, group_k_);
  const std::int64_t wanted = threads == 1 ? 1 : std::int64_t{kItemsPerThread} * threads;
  const std::int64_t max_slices = std::clamp<std::int64_t>(columns_ / kMinColumns, 1, panels_);
  const std::int64_t slices = std::clamp<std::int64_t>(ceil_div(wanted, chunks_ * groups), 1, max_slices);
  for (int chunk = 0; chunk < static_cast<int>(chunks_); ++chunk) {
    for (int first_k = 0; first_k < shape_.k; first_k += group_k_) {
      for (std::int64_t slice = 0; slice < slices; ++slice) {
        items_.push_back({chunk, split(blocks, chunk, chunks_), first_k, std::min(group_k_, shape_.k - first_k),
                          split(panels_, slice, slices)});
      }
    }
  }
}

void WeightProduct::run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const {
  std::byte* workspace = exec.workspace(workspace_.bytes());
  std::memset(zeros_.in(workspace), 0, static_cast<std::size_t>(shape_.in.channels) * sizeof(float));
  const Operands operands{x, dy, dw, accumulate, workspace};
  dynamic_loop(exec.threads(), static_cast<std::int64_t>(items_.size()),
               [&](std::int64_t item, int thread) { run_item(items_[item], operands, thread); });
  if (chunks_ > 1) add_chunks(exec, operands);
}

void WeightProduct::run_item(const Item& item, const Operands& operands, int thread) const {
  float* tiles = tiles_[thread].in(operands.workspace);
  float* panel_floats = panel_[thread].in(operands.workspace);
  float* sum = chunks_ == 1 ? operands.dw : sums_.in(operands.workspace) + item.chunk * shape_.k * columns_;
  bool accumulate = chunks_ == 1 && operands.accumulate;
  for (std::int64_t block = item.blocks.begin; block < item.blocks.end; ++block) {
    const Range rows{block * block_rows_, std::min(rows_, (block + 1) * block_rows_)};
    const std::int64_t depth = rows.end - rows.begin;
    list_pixels(rows, operands, thread);
    kernels_.pack_tiles(operands.dy + rows.begin * shape_.k + item.first_k, shape_.k, depth, item.k, tiles);
    const OuterTiles outer{.depth = depth,
                           .parts = 1,
                           .a = {.step = kernels_.rows},
                           .b = {.step = kernels_.panel},
                           .a_tile = depth * kernels_.rows,
                           .out = sum + item.first_k * columns_,
                           .out_stride = columns_,
                           .rows = item.k};
    for (std::int64_t panel = item.panels.begin; panel < item.panels.end; ++panel) {
      prefetch_block(block + 1, panel, item, operands);
      pack_panel(panel, depth, operands, thread);
      const std::int64_t column = panel * kernels_.panel;
      const auto columns = static_cast<int>(std::min<std::int64_t>(kernels_.panel, columns_ - column));
      kernels_.outer_product(outer, {column, columns, accumulate}, tiles, panel_floats);
    }
    accumulate = true;
  }
}

/// Prefetches this panel's share of the next block of dy.
void WeightProduct::prefetch_block(std::int64_t block, std::int64_t panel, const Item& item, const Operands& operands) const {
  if (block >= item.blocks.end) return;
  const std::int64_t first = block * block_rows_, count = std::min(rows_, first + block_rows_) - first;
  const Range rows = split(count, panel - item.panels.begin, item.panels.end - item.panels.begin);
  for (std::int64_t row = first + rows.begin; row < first + rows.end; ++row) {
    const float* dy = operands.dy + row * shape_.k + item.first_k;
    for (std::int64_t l = 0; l < item.k; l += kLineFloats) __builtin_prefetch(dy + l, 0, 2);
  }
}

/// Fills this thread's table with pointers to the input pixel of each row at each tap.
void WeightProduct::list_pixels(Range rows, const Operands& operands, int thread) const {
  const float* zeros = zeros_.in(operands.workspace);
  const float** pixels = pixels_[thread].in(operands.workspace);
  auto v = static_cast<int>(rows.begin % shape_.grid_w);
  auto u = static_cast<int>(rows.begin / shape_.grid_w % shape_.grid_h);
  const float* image = operands.x + rows.begin / shape_.grid_w / shape_.grid_h * shape_.in.image_size();
  for (std::int64_t row = 0; row < rows.end - rows.begin; ++row) {
    for (std::size_t tap = 0; tap < shape_.taps.size(); ++tap) {
      pixels[static_cast<std::int64_t>(tap) * block_rows_ + row] = shape_.in.find(image, shape_.taps[tap], u, v, zeros);
    }
    if (++v < shape_.grid_w) continue;
    v = 0;
    if (++u < shape_.grid_h) continue;
    u = 0;
    image += shape_.in.image_size();
  }
}

/// Packs one panel of the block, in one piece per tap that it spans.
void WeightProduct::pack_panel(std::int64_t panel, std::int64_t rows, const Operands& operands, int thread) const {
  const int width = kernels_.panel;
  const std::int64_t begin = panel * width, end = std::min(columns_, begin + width);
  float* to = panel_[thread].in(operands.workspace);
  if (end - begin < width) std::memset(to, 0, static_cast<std::size_t>(rows * width) * sizeof(float));
  for (std::int64_t column = begin; column < end;) {
    const std::int64_t tap = column / shape_.in.channels, channel = column % shape_.in.channels;
    const std::int64_t length = std::min(end - column, shape_.in.channels - channel);
    const float* const* pixels = pixels_[thread].in(operands.workspace) + tap * block_rows_;
    kernels_.pack_pieces({pixels, rows, channel, static_cast<int>(length), width}, to + (column - begin));
    column += length;
  }
}

/// dw (+)= the sums of the chunks, added in order.
void WeightProduct::add_chunks(Exec& exec, const Operands& operands) const {
  const std::int64_t size = std::int64_t{shape_.k} * columns_;
  const float* sums = sums_.in(operands.workspace);
  parallel_for(exec.threads(), size, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    const auto add = [&](const float* a, const float* b) {
      isa_.float32.pointwise.add(a + begin, b + begin, operands.dw + begin, end - begin);
    };
    operands.accumulate ? add(operands.dw, sums) : add(sums, sums + size);
    for (std::int64_t chunk = operands.accumulate ? 1 : 2; chunk < chunks_; ++chunk) add(operands.dw, sums + chunk * size);
  });
}

}  // namespace apam::kernels::cpu
