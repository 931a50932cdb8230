#include "kernels/cpu/gather_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"
#include "kernels/cpu/streaming.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kPieceFloats = 8192;    // of a panel in the L1 cache, while x streams through
constexpr std::int64_t kPieceRows = 256;       // maximum depth of a piece; deep enough that y is rarely re-read
constexpr std::int64_t kBlockRows = 192;       // input of 64 to 512 channels then fits a 512 KiB L2 cache
constexpr std::int64_t kShallowFloats = 3072;  // weights of an item up to which all its panels stay in the L1 cache
constexpr std::int64_t kShallowTiles = 4;      // row tiles per step through all panels, if these stay in L1
constexpr std::int64_t kDeepTiles = 8;         // row tiles per step otherwise
constexpr std::int64_t kMinTiles = 8;          // per block; below, listing rows costs more than the parallelism gains

}  // namespace

GatherProduct::GatherProduct(Exec& exec, GatherShape shape, const Isa& isa)
    : shape_(std::move(shape)),
      isa_(isa),
      kernels_(best_tile(isa, shape_.columns)),
      panels_(static_cast<int>(ceil_div(shape_.columns, kernels_.panel))),
      piece_(std::int64_t{shape_.span} * shape_.in.channels) {
  const auto empty = std::remove_if(shape_.phases.begin(), shape_.phases.end(), [](const Phase& p) { return p.taps.empty(); });
  zeros_first_ = empty != shape_.phases.end();
  shape_.phases.erase(empty, shape_.phases.end());
  for (const Phase& phase : shape_.phases) {
    const auto taps = static_cast<std::int64_t>(phase.taps.size());
    PhasePlan plan{};
    plan.rows = std::int64_t{shape_.images} * phase.grid_h * phase.grid_w;
    plan.depth = taps * piece_;
    plan.packed = workspace_.add<float>(panels_ * plan.depth * kernels_.panel);
    plan_ranges(phase, plan);
    plans_.push_back(std::move(plan));
    max_taps_ = std::max(max_taps_, taps);
  }
  plan_items(exec.threads());
  zeros_ = workspace_.add<float>(piece_);
  const std::int64_t rows = block_tiles_ * kernels_.rows;
  for (int thread = 0; thread < exec.threads(); ++thread) {
    in_.push_back(workspace_.add<const float*>(rows * max_taps_));
    out_.push_back(workspace_.add<float*>(rows));
    discarded_.push_back(workspace_.add<float>(shape_.columns));
    starts_.push_back(workspace_.add<const float*>(max_taps_));
    edges_.push_back(workspace_.add<float>(shape_.span > 1 ? rows * max_taps_ * piece_ : 0));
  }
  exec.reserve_workspace(workspace_.bytes());
}

/// Splits the sum into ranges of about equal depth: several taps, or a part of one.
void GatherProduct::plan_ranges(const Phase& phase, PhasePlan& plan) const {
  const auto taps = static_cast<int>(phase.taps.size());
  const std::int64_t deepest = std::min(kPieceFloats / kernels_.panel, kPieceRows);
  if (piece_ <= deepest) {
    const std::int64_t pieces = ceil_div(taps, deepest / piece_);
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const Range range = split(taps, piece, pieces);
      plan.ranges.push_back({static_cast<int>(range.begin), static_cast<int>(range.end - range.begin), 0, piece_});
    }
  } else {
    const std::int64_t pieces = ceil_div(piece_, deepest);
    for (int tap = 0; tap < taps; ++tap) {
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        const Range range = split(piece_, piece, pieces);
        plan.ranges.push_back({tap, 1, range.begin, range.end - range.begin});
      }
    }
  }
}

/// Blocks of rows fill the caches. If that gives too few items for the threads, blocks are smaller and panels are grouped.
void GatherProduct::plan_items(int threads) {
  const std::int64_t wanted = threads == 1 ? 1 : std::int64_t{kItemsPerThread} * threads;
  for (int phase = 0; phase < static_cast<int>(plans_.size()); ++phase) {
    const std::int64_t tiles = ceil_div(plans_[phase].rows, kernels_.rows);
    if (tiles == 0) continue;
    const std::int64_t share = std::max<std::int64_t>(1, ceil_div(wanted, static_cast<std::int64_t>(plans_.size())));
    const std::int64_t cached = ceil_div(tiles * kernels_.rows, kBlockRows);
    const std::int64_t blocks = std::max(cached, std::min(share, std::max<std::int64_t>(1, tiles / kMinTiles)));
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
  std::memset(zeros_.in(workspace), 0, static_cast<std::size_t>(piece_) * sizeof(float));
  if (zeros_first_ && !accumulate) {
    parallel_for(exec.threads(), shape_.images * shape_.out_image, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      std::memset(y + begin, 0, static_cast<std::size_t>(end - begin) * sizeof(float));
    });
  }
  pack_weights(exec, w, workspace);
  const bool whole = std::all_of(plans_.begin(), plans_.end(), [](const PhasePlan& plan) { return plan.ranges.size() == 1; });
  const std::int64_t pixels = shape_.images * shape_.out_image / shape_.columns;
  const bool stream = !accumulate && whole && isa_.streams && worth_streaming(y, pixels, shape_.columns);
  const Operands operands{x, y, accumulate, stream, workspace};
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

/// to: (taps, piece, panel), padded columns are zero.
void GatherProduct::pack_panel(const Phase& phase, const float* w, int panel, float* to) const {
  const int width = kernels_.panel;
  const int first = panel * width;
  const int columns = std::min(width, shape_.columns - first);
  for (const Tap& tap : phase.taps) {
    const float* from = w + tap.weights + first * shape_.column_stride;
    if (shape_.channel_stride == 1) {
      isa_.transpose({from, shape_.column_stride, columns, piece_}, to, width);
    } else {
      for (std::int64_t l = 0; l < piece_; ++l) {
        for (int j = 0; j < columns; ++j) to[l * width + j] = from[l * shape_.channel_stride + j * shape_.column_stride];
      }
    }
    for (std::int64_t l = 0; l < piece_; ++l, to += width) std::fill(to + columns, to + width, 0.0F);
  }
}

void GatherProduct::run_item(const Item& item, const Operands& operands, int thread) const {
  const RowTiles listed = list_rows(item, operands, thread);
  const PhasePlan& plan = plans_[item.phase];
  const float* packed = plan.packed.in(operands.workspace);
  const bool shallow = plan.depth * item.panels * kernels_.panel <= kShallowFloats;
  const std::int64_t step = shallow ? kShallowTiles : kDeepTiles;
  const std::int64_t turns = item.panels * static_cast<std::int64_t>(plan.ranges.size());
  for (std::int64_t tile = 0; tile < listed.count; tile += step) {
    const RowTiles tiles = part(listed, tile, step), next = part(listed, tile + step, step);
    bool accumulate = operands.accumulate;
    std::int64_t turn = 0;
    for (const TapRange& range : plan.ranges) {
      const std::int64_t first = range.first_tap * piece_ + range.first;
      for (int panel = item.first_panel; panel < item.first_panel + item.panels; ++panel, ++turn) {
        prefetch(next, split(std::int64_t{next.count} * kernels_.rows, turn, turns), item, operands.stream);
        const std::int64_t column = std::int64_t{panel} * kernels_.panel;
        const auto columns = static_cast<int>(std::min<std::int64_t>(kernels_.panel, shape_.columns - column));
        const float* at = packed + (panel * plan.depth + first) * kernels_.panel;
        const bool last = panel + 1 == item.first_panel + item.panels;
        const float* ahead =
            at + (last ? range.taps * range.length - (item.panels - 1) * plan.depth : plan.depth) * kernels_.panel;
        kernels_.row_product(tiles, range, {column, columns, accumulate, operands.stream}, {at, ahead});
      }
      accumulate = true;
    }
  }
  if (operands.stream) isa_.store_fence();
}

/// Up to `count` tiles of a list, starting with `first`.
RowTiles GatherProduct::part(const RowTiles& listed, std::int64_t first, std::int64_t count) const {
  const auto left = static_cast<int>(std::clamp<std::int64_t>(listed.count - first, 0, count));
  if (left == 0) return {listed.rows, listed.out, 0, listed.taps};
  return {listed.rows + first * listed.taps * kernels_.rows, listed.out + first * kernels_.rows, left, listed.taps};
}

/// Prefetches input and output of some rows. With several taps only the output: neighbouring rows share most of their input.
void GatherProduct::prefetch(const RowTiles& tiles, Range rows, const Item& item, bool stream) const {
  const std::int64_t first = std::int64_t{item.first_panel} * kernels_.panel;
  const std::int64_t last = std::min<std::int64_t>(shape_.columns, first + std::int64_t{item.panels} * kernels_.panel);
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    if (tiles.taps == 1) {
      for (std::int64_t l = 0; l < piece_; l += kLineFloats) __builtin_prefetch(tiles.rows[row] + l, 0, 2);
    }
    if (stream) continue;
    for (std::int64_t l = first; l < last; l += kLineFloats) __builtin_prefetch(tiles.out[row] + l, 1, 2);
  }
}

/// Fills this thread's table with pointers to the input of each row at each tap.
RowTiles GatherProduct::list_rows(const Item& item, const Operands& operands, int thread) const {
  const Phase& phase = shape_.phases[item.phase];
  const PhasePlan& plan = plans_[item.phase];
  const auto taps = static_cast<int>(phase.taps.size());
  const int last = shape_.in.w - shape_.span;  // last column at which a tap is inside the image
  const float** in = in_[thread].in(operands.workspace);
  float** out = out_[thread].in(operands.workspace);
  const float** starts = starts_[thread].in(operands.workspace);
  const float* zeros = zeros_.in(operands.workspace);
  float* edge = edges_[thread].in(operands.workspace);
  std::int64_t row = item.first_tile * kernels_.rows;
  const std::int64_t line = row / phase.grid_w;
  Place at{line / phase.grid_h, static_cast<int>(line % phase.grid_h), static_cast<int>(row % phase.grid_w)};
  if (row < plan.rows) start_line(phase, at, operands.x, starts);
  for (std::int64_t tile = 0; tile < item.tiles; ++tile, in += taps * kernels_.rows, out += kernels_.rows) {
    for (int i = 0; i < kernels_.rows; ++i, ++row) {
      if (row >= plan.rows) {
        for (int tap = 0; tap < taps; ++tap) in[tap * kernels_.rows + i] = zeros;
        out[i] = discarded_[thread].in(operands.workspace);
        continue;
      }
      for (int tap = 0; tap < taps; ++tap) {
        const int column = at.v * shape_.in.step + phase.taps[tap].dw;
        const float*& from = in[tap * kernels_.rows + i];
        from = zeros;
        if (starts[tap] == nullptr) continue;
        if (column >= 0 && column <= last) {
          from = starts[tap] + std::int64_t{column} * shape_.in.channels;
        } else if (shape_.span > 1) {
          copy_edge(starts[tap], column, edge);
          from = edge;
          edge += piece_;
        }
      }
      out[i] = operands.y + at.image * shape_.out_image + phase.first + at.u * phase.row + at.v * phase.column;
      if (++at.v < phase.grid_w) continue;
      at = {at.u + 1 < phase.grid_h ? at.image : at.image + 1, at.u + 1 < phase.grid_h ? at.u + 1 : 0, 0};
      if (row + 1 < plan.rows) start_line(phase, at, operands.x, starts);
    }
  }
  return {in_[thread].in(operands.workspace), out_[thread].in(operands.workspace), static_cast<int>(item.tiles), taps};
}

/// The input line of each tap for a line of output pixels; null outside the image.
void GatherProduct::start_line(const Phase& phase, const Place& at, const float* x, const float** starts) const {
  const float* image = x + at.image * shape_.in.image_size();
  for (std::size_t tap = 0; tap < phase.taps.size(); ++tap) {
    const int i = at.u * shape_.in.step + phase.taps[tap].dh;
    const bool inside = i >= 0 && i < shape_.in.h;
    starts[tap] = inside ? image + std::int64_t{i} * shape_.in.w * shape_.in.channels : nullptr;
  }
}

/// Copies the pixels of a tap at the image's edge, zero outside the image.
void GatherProduct::copy_edge(const float* start, int column, float* to) const {
  const int channels = shape_.in.channels;
  for (int s = 0; s < shape_.span; ++s, to += channels) {
    const int j = column + s;
    if (j >= 0 && j < shape_.in.w) {
      std::copy_n(start + std::int64_t{j} * channels, channels, to);
    } else {
      std::fill_n(to, channels, 0.0F);
    }
  }
}

}  // namespace apam::kernels::cpu
