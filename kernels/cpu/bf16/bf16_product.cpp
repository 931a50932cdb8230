#include "kernels/cpu/bf16/bf16_product.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/bf16/windows.h"
#include "kernels/cpu/conv2d_direct.h"
#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

// For a core with 48 KiB of L1 and 2 MiB of L2 cache.
constexpr std::int64_t kBlockBytes = 384 << 10;       // packed input of an item; L2 also has weights, sums and the next input
constexpr std::int64_t kLargeBlockBytes = 768 << 10;  // the same if the weights do not fit into L2
constexpr std::int64_t kCachedWeights = 1 << 20;      // above, weights come from L3, for as many images at a time as fit
constexpr std::int64_t kWholeBytes = 36 << 10;        // weights of a group that may stay in L1 as a whole
constexpr std::int64_t kChunkBytes = 20 << 10;        // of a chunk; three lines of input and sums in transit take the rest
constexpr std::int64_t kMinProductTiles = 16;         // per band

/// x as (N, P, Q, R*S*C) of windows, the convolution as 1x1.
GatherShape windows_shape(const Conv2d::Problem& problem) {
  const int p = problem.out_h(), q = problem.out_w(), length = problem.r * problem.s * problem.c;
  return {.images = problem.n,
          .in = {p, q, length, 1},
          .span = 1,
          .columns = problem.k,
          .out_image = std::int64_t{p} * q * problem.k,
          .channel_stride = 1,
          .column_stride = length,
          .phases = {{p, q, 0, std::int64_t{q} * problem.k, problem.k, {{0, 0, 0}}}}};
}

/// Forward with one tap per filter position, for any number of channels.
GatherShape pixels_shape(const Conv2d::Problem& problem) {
  GatherShape shape = windows_shape(problem);
  shape.in = {problem.h, problem.w, problem.c, problem.stride};
  shape.phases.front().taps.clear();
  for (int r = 0; r < problem.r; ++r) {
    for (int s = 0; s < problem.s; ++s) {
      const std::int64_t weights = (std::int64_t{r} * problem.s + s) * problem.c;
      shape.phases.front().taps.push_back({r - problem.padding, s - problem.padding, weights});
    }
  }
  return shape;
}

GatherShape shape_of(const Conv2d::Problem& problem, Conv2d::Pass pass, bool windows) {
  if (pass == Conv2d::Pass::backward_input) return backward_input_shape(problem);
  return windows ? windows_shape(problem) : pixels_shape(problem);
}

}  // namespace

Bf16Product::Bf16Product(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, const TileKernels16& kernels)
    : problem_(problem),
      kernels_(kernels),
      windows_(pass == Conv2d::Pass::forward && packs_windows(problem)),
      rotated_(pass == Conv2d::Pass::backward_input),
      shape_(shape_of(problem, pass, windows_)),
      panels_(static_cast<int>(ceil_div(shape_.columns, kTileColumns))),
      blocks_depth_(static_cast<int>(ceil_div(shape_.in.channels, kTileDepth))) {
  zeros_first_ = std::erase_if(shape_.phases, [](const Phase& phase) { return phase.taps.empty(); }) > 0;
  for (const Phase& phase : shape_.phases) {
    if (phase.grid_w > 0) grid_h_ = std::max<std::int64_t>(grid_h_, phase.grid_h);
  }
  if (grid_h_ == 0) return;  // no output pixel has taps
  plan_blocks(exec.threads());
  plan_phases();
  plan_tiles();
  plan_items(exec.threads());
  std::int64_t most = 0;  // tiles with sums between chunks
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    const bool whole = phases_[i % phases_.size()].chunk_blocks == blocks_depth_;
    if (!whole) most = std::max(most, static_cast<std::int64_t>(tiles_[i].tiles.size()));
  }
  for (int thread = 0; thread < exec.threads(); ++thread) {
    packed_.push_back(workspace_.add<Bits16>(blocks_depth_ * plane_));
    sums_.push_back(workspace_.add<float>(std::max<std::int64_t>(4, 2 * most) * kTileSums));
    window_lines_.push_back(workspace_.add<Bits16>(windows_ ? std::int64_t{shape_.in.w} * shape_.in.channels : 0));
  }
  exec.reserve_workspace(workspace_.bytes());
}

/// Blocks of images and bands of lines: as large as the L2 cache allows, unless that leaves too few items for the threads.
void Bf16Product::plan_blocks(int threads) {
  const TileMapping mapping = best_mapping(shape_);
  const auto bytes_of = [&](std::int64_t lines) {
    return PackedPixels(shape_, mapping, static_cast<int>(lines)).unit_slots() * kTileStride * blocks_depth_;
  };
  const std::int64_t wanted = threads == 1 ? 1 : kItemsPerThread * threads;
  const std::int64_t units = ceil_div(shape_.images, mapping.lanes);
  std::int64_t taps = 0;
  for (const Phase& phase : shape_.phases) taps += static_cast<std::int64_t>(phase.taps.size());
  const bool cached = taps * blocks_depth_ * panels_ * kTileBytes <= kCachedWeights;
  const std::int64_t most_bytes = cached ? kBlockBytes : kLargeBlockBytes;
  while (bands_ < grid_h_ && bytes_of(ceil_div(grid_h_, bands_)) > kLargeBlockBytes) ++bands_;
  if (bands_ == 1) {
    const std::int64_t fitting = std::max<std::int64_t>(1, most_bytes / bytes_of(grid_h_));
    block_units_ = cached ? std::clamp<std::int64_t>(units / wanted, 1, fitting) : std::min(fitting, units);
  }
  blocks_ = ceil_div(units, block_units_);
  block_units_ = ceil_div(units, blocks_);
  if (cached && block_units_ == 1) {
    const std::int64_t tiles = grid_h_ * shape_.phases.front().grid_w * mapping.lanes / kTileRows;
    const std::int64_t most = std::min(grid_h_, std::max(bands_, tiles / kMinProductTiles));
    bands_ = std::clamp(ceil_div(wanted, blocks_), bands_, most);
  }
  pixels_ = PackedPixels(shape_, mapping, static_cast<int>(ceil_div(grid_h_, bands_)));
  // The rows of the last tile may be beyond the last unit. An odd number of cache lines spreads the planes over L1's sets.
  plane_ = ((block_units_ * pixels_.unit_slots() + kTileRows) | 1) * kTileDepth;
}

void Bf16Product::plan_phases() {
  for (const Phase& phase : shape_.phases) {
    const auto taps = static_cast<std::int64_t>(phase.taps.size());
    const std::int64_t block_bytes = 2 * taps * kTileBytes;
    std::int64_t chunk = blocks_depth_;
    if (chunk * block_bytes > kWholeBytes) {
      const std::int64_t chunks = ceil_div(blocks_depth_, std::max<std::int64_t>(1, kChunkBytes / block_bytes));
      chunk = ceil_div(blocks_depth_, chunks);
    }
    phases_.push_back({static_cast<int>(taps), static_cast<int>(chunk),
                       workspace_.add<Bits16>(std::int64_t{panels_} * blocks_depth_ * taps * kTileBits)});
    for (int tap = 0; tap < phases_.back().taps; ++tap) taps_.push_back({static_cast<int>(phases_.size()) - 1, tap});
  }
}

void Bf16Product::plan_tiles() {
  const std::int64_t full = block_units_ * pixels_.mapping().lanes;
  const std::int64_t last = images_in(blocks_ - 1);
  for (const std::int64_t images : {std::min<std::int64_t>(full, shape_.images), last}) {
    for (std::int64_t band = 0; band < bands_; ++band) {
      for (std::size_t phase = 0; phase < shape_.phases.size(); ++phase) {
        TileList list = list_tiles(shape_, shape_.phases[phase], pixels_, lines_of(band), images);
        BandTiles tiles{std::move(list.tiles), {}, 0};
        for (RowTile& tile : tiles.tiles) tile.a *= kTileDepth;
        for (const TileRun& run : list.runs) {
          tiles.runs.push_back({step_list(static_cast<int>(phase), run.taps), run.first, run.count});
          tiles.blocks += ceil_div(run.count, 2);
        }
        tiles_.push_back(std::move(tiles));
      }
    }
  }
}

int Bf16Product::step_list(int phase, const std::vector<int>& taps) {
  const auto same = [&](const StepList& list) { return list.phase == phase && list.taps == taps; };
  const auto found = std::find_if(step_lists_.begin(), step_lists_.end(), same);
  if (found != step_lists_.end()) return static_cast<int>(found - step_lists_.begin());
  StepList list{phase, taps, {}};
  for (int block = 0; block < blocks_depth_; ++block) {
    for (const int tap : taps) {
      const std::int64_t offset = pixels_.offset(shape_.phases[phase].taps[tap]) * kTileDepth;
      list.steps.push_back({static_cast<std::int32_t>(block * plane_ + offset), block * phases_[phase].taps + tap});
    }
  }
  step_lists_.push_back(std::move(list));
  return static_cast<int>(step_lists_.size()) - 1;
}

void Bf16Product::plan_items(int threads) {
  const std::int64_t wanted = threads == 1 ? 1 : kItemsPerThread * threads;
  const std::int64_t groups = ceil_div(panels_, 2);
  const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(wanted, blocks_ * bands_), 1, groups);
  for (std::int64_t block = 0; block < blocks_; ++block) {
    for (std::int64_t band = 0; band < bands_; ++band) {
      for (std::int64_t part = 0; part < parts; ++part) items_.push_back({block, band, split(groups, part, parts)});
    }
  }
}

std::int64_t Bf16Product::images_in(std::int64_t block) const {
  const std::int64_t full = block_units_ * pixels_.mapping().lanes;
  return std::min(full, shape_.images - block * full);
}

Range Bf16Product::lines_of(std::int64_t band) const { return split(grid_h_, band, bands_); }

const Bf16Product::BandTiles& Bf16Product::tiles_of(const Item& item, std::size_t phase) const {
  const std::int64_t variant = item.block == blocks_ - 1 ? 1 : 0;
  return tiles_[static_cast<std::size_t>(variant * bands_ + item.band) * phases_.size() + phase];
}

int Bf16Product::panels_in(std::int64_t group) const {
  return static_cast<int>(std::min<std::int64_t>(2, panels_ - 2 * group));
}

void Bf16Product::run(Exec& exec, const BFloat16* x, const float* w, bool accumulate, BFloat16* y) const {
  const Operands operands{bits_of(x), bits_of(y), accumulate, exec.workspace(workspace_.bytes())};
  if (zeros_first_ && !accumulate) {
    parallel_for(exec.threads(), shape_.images * shape_.out_image, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      std::memset(operands.y + begin, 0, static_cast<std::size_t>(end - begin) * sizeof(Bits16));
    });
  }
  pack_weights(exec, w, operands.workspace);
  const auto items = static_cast<std::int64_t>(items_.size());
  dynamic_loop(exec.threads(), items, [&](std::int64_t item, int thread) {
    const std::int64_t next = item + exec.threads();
    run_item(items_[item], next < items ? &items_[next] : nullptr, operands, thread);
  });
}

/// Threads share panels of filters, or, if filters are rotated, taps and blocks of 32 filters: weights are then read in the
/// order of memory.
void Bf16Product::pack_weights(Exec& exec, const float* w, std::byte* workspace) const {
  const std::int64_t columns = rotated_ ? blocks_depth_ : panels_;
  const auto rows = static_cast<std::int64_t>(rotated_ ? taps_.size() : phases_.size());
  parallel_for(exec.threads(), rows * columns, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto column = static_cast<int>(i % columns);
      if (rotated_) {
        const auto [phase, tap] = taps_[static_cast<std::size_t>(i / columns)];
        for (int panel = 0; panel < panels_; ++panel) pack_tile({phase, tap, column, panel}, w, workspace);
      } else {
        const auto phase = static_cast<int>(i / columns);
        for (int tap = 0; tap < phases_[phase].taps; ++tap) {
          for (int block = 0; block < blocks_depth_; ++block) pack_tile({phase, tap, block, column}, w, workspace);
        }
      }
    }
  });
}

void Bf16Product::pack_tile(const WeightTile& tile, const float* w, std::byte* workspace) const {
  const PhasePlan& plan = phases_[tile.phase];
  const std::int64_t group = tile.panel / 2, step = std::int64_t{tile.block} * plan.taps + tile.tap;
  const std::int64_t depth = std::int64_t{blocks_depth_} * plan.taps;
  Bits16* to = plan.packed.in(workspace) + (group * 2 * depth + step * panels_in(group) + tile.panel % 2) * kTileBits;
  const int column = tile.panel * kTileColumns, columns = std::min(kTileColumns, shape_.columns - column);
  const int channel = tile.block * kTileDepth, channels = std::min(kTileDepth, shape_.in.channels - channel);
  const float* from =
      w + shape_.phases[tile.phase].taps[tile.tap].weights + channel * shape_.channel_stride + column * shape_.column_stride;
  if (rotated_) {
    kernels_.pack_rotated({from, shape_.channel_stride, channels, columns}, to);
  } else {
    kernels_.pack_filters({from, shape_.column_stride, columns, channels}, to);
  }
}

void Bf16Product::run_item(const Item& item, const Item* next, const Operands& operands, int thread) const {
  Ahead ahead = plan_ahead(item, next, operands.x);
  kernels_.configure();
  pack_block(item, operands, thread);
  for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
    for (std::int64_t group = item.groups.begin; group < item.groups.end; ++group) {
      multiply_group(item, phase, group, operands, ahead, thread);
    }
  }
  kernels_.release();
}

/// The input of the next item, shared among the blocks of this one.
Ahead Bf16Product::plan_ahead(const Item& item, const Item* next, const Bits16* x) const {
  if (next == nullptr || (next->block == item.block && next->band == item.band)) return {};
  if (static_cast<int>(pixels_.planes().size()) < shape_.in.step * shape_.in.step) return {};  // most pixels are not read
  std::int64_t products = 0;
  for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
    const std::int64_t chunks = ceil_div(blocks_depth_, phases_[phase].chunk_blocks);
    products += tiles_of(item, phase).blocks * chunks * (item.groups.end - item.groups.begin);
  }
  if (products == 0) return {};
  const bool forward_windows = windows_;  // then lines of shape_ are lines of y
  const std::int64_t line =
      forward_windows ? std::int64_t{problem_.w} * problem_.c : std::int64_t{shape_.in.w} * shape_.in.channels;
  const int step = forward_windows ? problem_.stride : shape_.in.step, h = forward_windows ? problem_.h : shape_.in.h;
  const Range packed = pixels_.lines(lines_of(next->band));
  const std::int64_t first = std::clamp<std::int64_t>(packed.begin * step, 0, h),
                     last = std::clamp<std::int64_t>(packed.end * step, 0, h);
  const std::int64_t image = next->block * block_units_ * pixels_.mapping().lanes;
  Ahead ahead{.at = x + (image * h + first) * line,
              .rows = images_in(next->block),
              .stride = h * line,
              .lines = ceil_div((last - first) * line, kTileDepth)};
  ahead.share = ceil_div(ahead.rows * ahead.lines, products);
  return ahead;
}

void Bf16Product::pack_block(const Item& item, const Operands& operands, int thread) const {
  Bits16* packed = packed_[thread].in(operands.workspace);
  Bits16* windows = window_lines_[thread].in(operands.workspace);
  const int lanes = pixels_.mapping().lanes;
  const std::int64_t images = images_in(item.block), first = item.block * block_units_ * lanes;
  const std::int64_t image_size = windows_ ? std::int64_t{problem_.h} * problem_.w * problem_.c : shape_.in.image_size();
  const Range lines = pixels_.lines(lines_of(item.band));
  for (std::int64_t i = 0; i < images; ++i) {
    const std::int64_t start = i / lanes * pixels_.unit_slots() + i % lanes;
    for (std::size_t plane = 0; plane < pixels_.planes().size(); ++plane) {
      for (std::int64_t line = lines.begin; line < lines.end; ++line) {
        const std::int64_t slot = pixels_.slot(static_cast<int>(plane), line - lines.begin, pixels_.columns().begin);
        pack_line(operands.x + (first + i) * image_size, line, pixels_.planes()[plane], packed + (start + slot) * kTileDepth,
                  windows);
      }
    }
  }
}

/// One line of a plane, in one lane; zero outside the image.
void Bf16Product::pack_line(const Bits16* image, std::int64_t line, const PackedPixels::Plane& plane, Bits16* to,
                            Bits16* windows) const {
  const PixelMap& in = shape_.in;
  const Range all = pixels_.columns();
  const std::int64_t i = line * in.step + plane.row;
  Range inside{std::clamp<std::int64_t>(0, all.begin, all.end), 0};
  inside.end = std::clamp(ceil_div(std::max(in.w - plane.column, 0), in.step), inside.begin, all.end);
  if (i < 0 || i >= in.h) inside = {all.end, all.end};
  const std::int64_t step = std::int64_t{pixels_.mapping().lanes} * kTileDepth;
  const auto pack = [&](Range range, const Bits16* from) {
    const PixelRow row{range.end - range.begin, std::int64_t{in.step} * in.channels, in.channels};
    kernels_.pack_pixels(row, from, {to + (range.begin - all.begin) * step, step, plane_});
  };
  pack({all.begin, inside.begin}, nullptr);
  if (inside.begin < inside.end) {
    const Bits16* from = image + i * in.w * in.channels;
    if (windows_) {
      gather_windows(problem_, image, static_cast<int>(i), windows);
      from = windows;
    }
    pack(inside, from + (inside.begin * in.step + plane.column) * in.channels);
  }
  pack({inside.end, all.end}, nullptr);
}

void Bf16Product::multiply_group(const Item& item, std::size_t phase, std::int64_t group, const Operands& operands,
                                 Ahead& ahead, int thread) const {
  const PhasePlan& plan = phases_[phase];
  const BandTiles& tiles = tiles_of(item, phase);
  const std::int64_t column = group * 2 * kTileColumns;
  const std::int64_t depth = std::int64_t{blocks_depth_} * plan.taps;
  const std::int64_t first_image = item.block * block_units_ * pixels_.mapping().lanes;
  for (int block = 0; block < blocks_depth_; block += plan.chunk_blocks) {
    const int blocks = std::min(plan.chunk_blocks, blocks_depth_ - block);
    const bool whole = blocks == blocks_depth_;
    for (const Run& run : tiles.runs) {
      const StepList& list = step_lists_[run.steps];
      const auto taps = static_cast<int>(list.taps.size());
      const int panels = panels_in(group);
      kernels_.row_product({.tiles = tiles.tiles.data() + run.first,
                            .count = static_cast<int>(run.count),
                            .steps = {list.steps.data() + std::ptrdiff_t{block} * taps, blocks * taps},
                            .a = packed_[thread].in(operands.workspace),
                            .b = plan.packed.in(operands.workspace) + group * 2 * depth * kTileBits,
                            .panels = panels,
                            .first = block == 0,
                            .last = block + blocks == blocks_depth_,
                            .sums = sums_[thread].in(operands.workspace) + (whole ? 0 : run.first * panels * kTileSums),
                            .y = operands.y + first_image * shape_.out_image + column,
                            .columns = static_cast<int>(std::min<std::int64_t>(panels * kTileColumns, shape_.columns - column)),
                            .accumulate = operands.accumulate,
                            .ahead = &ahead});
    }
  }
}

}  // namespace apam::kernels::cpu
