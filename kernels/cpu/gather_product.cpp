#include "kernels/cpu/gather_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kPieceFloats = 4096;  // of a panel: half of a first-level cache of 32 KiB
constexpr std::int64_t kBlockRows = 192;     // with 64 to 512 channels their input fits a second-level cache of 512 KiB
constexpr std::int64_t kFewestTiles = 8;     // below this, listing rows costs more than sharing them out brings
constexpr int kNarrow = 8;                   // channels; a tap of fewer costs more in pointers than in products
constexpr int kItemsPerThread = 4;           // so that the last items end at about the same time

}  // namespace

GatherProduct::GatherProduct(Exec& exec, GatherShape shape, const Isa& isa)
    : shape_(std::move(shape)),
      kernels_(isa.gemm),
      panels_(static_cast<int>(ceil_div(shape_.columns, isa.gemm.panel))),
      narrow_(shape_.in.channels < kNarrow) {
  for (const Phase& phase : shape_.phases) {
    const auto taps = static_cast<std::int64_t>(phase.taps.size());
    PhasePlan plan{};
    plan.rows = std::int64_t{shape_.images} * phase.grid_h * phase.grid_w;
    plan.depth = taps * shape_.in.channels;
    plan.packed = workspace_.add<float>(panels_ * plan.depth * kernels_.panel);
    plan_ranges(phase, plan);
    plans_.push_back(std::move(plan));
    max_taps_ = std::max(max_taps_, taps);
  }
  plan_items(exec.threads());
  zeros_ = workspace_.add<float>(shape_.in.channels);
  const std::int64_t rows = block_tiles_ * kernels_.rows;
  for (int thread = 0; thread < exec.threads(); ++thread) {
    in_.push_back(workspace_.add<const float*>(rows * max_taps_));
    out_.push_back(workspace_.add<float*>(rows));
    junk_.push_back(workspace_.add<float>(shape_.columns));
    copies_.push_back(workspace_.add<float>(narrow_ ? rows * max_taps_ * shape_.in.channels : 0));
  }
  exec.reserve_workspace(workspace_.bytes());
}

/// Cuts the sum into pieces of about equal depth: several taps, or a part of the channels of one.
void GatherProduct::plan_ranges(const Phase& phase, PhasePlan& plan) const {
  const auto taps = static_cast<int>(phase.taps.size());
  const std::int64_t deepest = kPieceFloats / kernels_.panel;
  if (taps == 0) {
    plan.ranges.push_back({0, 0, 0, 0});  // one empty sum, so that the zeros are written
  } else if (narrow_) {
    for (std::int64_t first = 0; first < plan.depth; first += deepest) {
      plan.ranges.push_back({0, 1, first, std::min(deepest, plan.depth - first)});
    }
  } else if (shape_.in.channels <= deepest) {
    const std::int64_t pieces = ceil_div(taps, deepest / shape_.in.channels);
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const Range range = split(taps, piece, pieces);
      plan.ranges.push_back({static_cast<int>(range.begin), static_cast<int>(range.end - range.begin), 0, shape_.in.channels});
    }
  } else {
    const std::int64_t pieces = ceil_div(shape_.in.channels, deepest);
    for (int tap = 0; tap < taps; ++tap) {
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        const Range range = split(shape_.in.channels, piece, pieces);
        plan.ranges.push_back({tap, 1, range.begin, range.end - range.begin});
      }
    }
  }
}

/// Blocks of rows as large as the caches like; smaller ones, and groups of panels, where the threads want more items.
void GatherProduct::plan_items(int threads) {
  const std::int64_t wanted = threads == 1 ? 1 : std::int64_t{kItemsPerThread} * threads;
  for (int phase = 0; phase < static_cast<int>(plans_.size()); ++phase) {
    const std::int64_t tiles = ceil_div(plans_[phase].rows, kernels_.rows);
    if (tiles == 0) continue;
    const std::int64_t share = std::max<std::int64_t>(1, ceil_div(wanted, static_cast<std::int64_t>(plans_.size())));
    const std::int64_t cached = ceil_div(tiles * kernels_.rows, kBlockRows);
    const std::int64_t blocks = std::max(cached, std::min(share, std::max<std::int64_t>(1, tiles / kFewestTiles)));
    const std::int64_t groups = std::min<std::int64_t>(panels_, ceil_div(share, blocks));
    for (std::int64_t block = 0; block < blocks; ++block) {
      const Range range = split(tiles, block, blocks);
      block_tiles_ = std::max(block_tiles_, range.end - range.begin);
      for (std::int64_t group = 0; group < groups; ++group) {
        const Range columns = split(panels_, group, groups);
        items_.push_back({phase, range.begin, range.end - range.begin, static_cast<int>(columns.begin),
                          static_cast<int>(columns.end - columns.begin)});
      }
    }
  }
}

void GatherProduct::run(Exec& exec, const float* x, const float* w, bool accumulate, float* y) const {
  std::byte* workspace = exec.workspace(workspace_.bytes());
  std::memset(zeros_.in(workspace), 0, static_cast<std::size_t>(shape_.in.channels) * sizeof(float));
  pack_weights(exec, w, workspace);
  const Operands operands{x, y, accumulate, workspace};
  dynamic_loop(exec.threads(), static_cast<std::int64_t>(items_.size()),
               [&](std::int64_t item, int thread) { run_item(items_[item], operands, thread); });
}

void GatherProduct::pack_weights(Exec& exec, const float* w, std::byte* workspace) const {
  const auto phases = static_cast<std::int64_t>(plans_.size());
  parallel_for(exec.threads(), phases * panels_, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t phase = i / panels_, panel = i % panels_;
      float* to = plans_[phase].packed.in(workspace) + panel * plans_[phase].depth * kernels_.panel;
      pack_panel(shape_.phases[phase], w, static_cast<int>(panel), to);
    }
  });
}

/// to: (taps, channels, panel), zero beyond the last column.
void GatherProduct::pack_panel(const Phase& phase, const float* w, int panel, float* to) const {
  const int width = kernels_.panel;
  const int first = panel * width;
  const int columns = std::min(width, shape_.columns - first);
  for (const Tap& tap : phase.taps) {
    const float* from = w + tap.weights + first * shape_.column_stride;
    for (int l = 0; l < shape_.in.channels; ++l, from += shape_.channel_stride, to += width) {
      for (int j = 0; j < columns; ++j) to[j] = from[j * shape_.column_stride];
      std::fill(to + columns, to + width, 0.0F);
    }
  }
}

void GatherProduct::run_item(const Item& item, const Operands& operands, int thread) const {
  const RowTiles tiles = narrow_ ? copy_rows(item, operands, thread) : list_rows(item, operands, thread);
  const PhasePlan& plan = plans_[item.phase];
  const std::int64_t piece_stride = narrow_ ? plan.depth : shape_.in.channels;  // elements of the sum in a tap of the list
  const float* packed = plan.packed.in(operands.workspace);
  bool accumulate = operands.accumulate;
  for (const TapRange& range : plan.ranges) {
    const std::int64_t first = range.first_tap * piece_stride + range.first;
    for (int panel = item.first_panel; panel < item.first_panel + item.panels; ++panel) {
      const std::int64_t column = std::int64_t{panel} * kernels_.panel;
      const auto columns = static_cast<int>(std::min<std::int64_t>(kernels_.panel, shape_.columns - column));
      kernels_.row_product(tiles, range, {column, columns, accumulate}, packed + (panel * plan.depth + first) * kernels_.panel);
    }
    accumulate = true;
  }
}

/// Fills this thread's table of pointers with the input pixel of every row at every tap.
RowTiles GatherProduct::list_rows(const Item& item, const Operands& operands, int thread) const {
  const Phase& phase = shape_.phases[item.phase];
  const PhasePlan& plan = plans_[item.phase];
  const auto taps = static_cast<int>(phase.taps.size());
  const float** in = in_[thread].in(operands.workspace);
  float** out = out_[thread].in(operands.workspace);
  const float* zeros = zeros_.in(operands.workspace);
  std::int64_t row = item.first_tile * kernels_.rows;
  for (std::int64_t tile = 0; tile < item.tiles; ++tile, in += taps * kernels_.rows, out += kernels_.rows) {
    for (int i = 0; i < kernels_.rows; ++i, ++row) {
      if (row >= plan.rows) {
        for (int tap = 0; tap < taps; ++tap) in[tap * kernels_.rows + i] = zeros;
        out[i] = junk_[thread].in(operands.workspace);
        continue;
      }
      const auto v = static_cast<int>(row % phase.grid_w);
      const auto u = static_cast<int>(row / phase.grid_w % phase.grid_h);
      const std::int64_t image = row / phase.grid_w / phase.grid_h;
      const float* x = operands.x + image * shape_.in.image_size();
      for (int tap = 0; tap < taps; ++tap) {
        in[tap * kernels_.rows + i] = shape_.in.find(x, phase.taps[tap], u, v, zeros);
      }
      out[i] = operands.y + image * shape_.out_image + phase.first + u * phase.row + v * phase.column;
    }
  }
  return {in_[thread].in(operands.workspace), out_[thread].in(operands.workspace), static_cast<int>(item.tiles), taps};
}

/// As list_rows, but copies each row's taps side by side, and lists the copies as the only tap.
RowTiles GatherProduct::copy_rows(const Item& item, const Operands& operands, int thread) const {
  RowTiles tiles = list_rows(item, operands, thread);
  const std::int64_t depth = plans_[item.phase].depth;
  const int channels = shape_.in.channels;
  const float** in = in_[thread].in(operands.workspace);
  float* copy = copies_[thread].in(operands.workspace);
  for (std::int64_t tile = 0; tile < item.tiles; ++tile) {
    const float** from = in + tile * tiles.taps * kernels_.rows;
    for (int i = 0; i < kernels_.rows; ++i, copy += depth) {
      for (int tap = 0; tap < tiles.taps; ++tap) {
        const float* piece = from[tap * kernels_.rows + i];
        for (int l = 0; l < channels; ++l) copy[tap * channels + l] = piece[l];
      }
    }
  }
  copy = copies_[thread].in(operands.workspace);
  for (std::int64_t row = 0; row < item.tiles * kernels_.rows; ++row) in[row] = copy + row * depth;
  tiles.taps = 1;
  return tiles;
}

}  // namespace apam::kernels::cpu
