// The division of Bf16Weight's work: planes and columns of packed x, filter slices, bands of lines, steps of sub-bands, items.
#include <algorithm>

#include "kernels/cpu/bf16/bf16_weight.h"
#include "kernels/cpu/bf16/windows.h"
#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kBandBytes = 640 << 10;     // packed operands of a band, in a 2 MiB L2 cache
constexpr std::int64_t kSliceBytes = 1280 << 10;   // sums of a slice, in the same
constexpr std::int64_t kSubBandBytes = 42 << 10;   // two panels of x and of dy, in a 48 KiB L1 cache
constexpr std::int64_t kMinWeightBlocks = 8;       // of the sum per sub-band: 512 cycles while 8 KiB of sums pass
constexpr std::int64_t kWeightSumBytes = 4 << 20;  // for the sums of all chunks
constexpr std::int64_t kMaxWeightChunks = 16;
constexpr std::int64_t kMinBands = 2;    // per chunk
constexpr std::int64_t kWidePanels = 4;  // of filters per item: with fewer, packing x again in each slice costs too much

}  // namespace

/// Planes, packed columns and the filter slices: all that does not depend on bands.
void Bf16Weight::plan_columns() {
  columns_ = {floor_div(-shape_.padding, shape_.stride),
              std::int64_t{line_blocks_} * pixels_ + floor_div(shape_.s - 1 - shape_.padding, shape_.stride)};
  for (int s = 0; s < shape_.s; ++s) {
    const int plane = static_cast<int>(s - shape_.padding - floor_div(s - shape_.padding, shape_.stride) * shape_.stride);
    if (std::find(planes_.begin(), planes_.end(), plane) == planes_.end()) planes_.push_back(plane);
  }
  const std::int64_t panel_bytes = std::int64_t{shape_.r} * shape_.s * c_panels_ * kTileBytes;
  const std::int64_t slices = ceil_div(k_panels_, std::max<std::int64_t>(2, kSliceBytes / panel_bytes / 2 * 2));
  slice_panels_ = std::min(k_panels_, round_up(ceil_div(k_panels_, slices), 2));
}

/// Bands of whole images, or of lines if images are large; then the steps of each kind of band, and the columns of B.
void Bf16Weight::plan_bands() {
  const int lines = shape_.out_h();
  const std::int64_t line_bytes =
      static_cast<std::int64_t>(planes_.size()) * (columns_.end - columns_.begin) * lanes_ / 2 * kTileStride;
  const auto bytes = [&](std::int64_t band) {
    const std::int64_t in = std::min<std::int64_t>((band - 1) * shape_.stride + shape_.r, shape_.h);
    return c_panels_ * in * line_bytes + slice_panels_ * band * line_blocks_ * kTileBytes;
  };
  std::int64_t parts = 1;
  while (parts < lines && bytes(ceil_div(lines, parts)) > kBandBytes) ++parts;
  const std::int64_t units = ceil_div(shape_.n, lanes_);
  if (parts == 1) {
    const std::int64_t fitting = std::max<std::int64_t>(1, kBandBytes / bytes(lines));
    band_units_ = std::min({fitting, ceil_div(kMinWeightBlocks, std::int64_t{lines} * line_blocks_), units});
  }
  for (std::int64_t part = 0; part < parts; ++part) {
    const Range in = input_lines(shape_, split(lines, part, parts));
    packed_lines_ = std::max(packed_lines_, in.end - in.begin);
  }
  const std::int64_t slots = band_units_ * packed_lines_ * line_bytes / kTileStride;
  x_panel_ = (slots | 1) * kTileDepth;  // an odd number of cache lines spreads the panels over L1's sets
  const std::int64_t full = units / band_units_, rest = units % band_units_;
  for (std::int64_t first = 0; first < units; first += band_units_) {
    const std::int64_t count = std::min(band_units_, units - first);
    for (std::int64_t part = 0; part < parts; ++part) bands_.push_back({first, count, split(lines, part, parts), 0});
  }
  for (std::size_t i = 0; i < bands_.size(); ++i) {  // bands of all units but the last have the same steps
    const std::size_t kind = i < static_cast<std::size_t>(parts) || (rest > 0 && i >= static_cast<std::size_t>(full * parts));
    bands_[i].steps =
        kind != 0 ? plan_steps(bands_[i].units, bands_[i].lines) : bands_[i - static_cast<std::size_t>(parts)].steps;
  }
  for (std::int64_t pair = 0; pair < c_panels_; pair += 2) {
    for (int s = 0; s < shape_.s; ++s) {
      const std::int64_t column = floor_div(s - shape_.padding, shape_.stride);
      const auto parity = static_cast<int>(s - shape_.padding - column * shape_.stride);
      const std::int64_t plane = std::find(planes_.begin(), planes_.end(), parity) - planes_.begin();
      for (std::int64_t panel = pair; panel < std::min(c_panels_, pair + 2); ++panel) {
        b_starts_.push_back(panel * x_panel_ + (slot(0, 0, plane, column) - slot(0, 0, 0, 0)) * kTileDepth);
        sum_columns_.push_back((s * c_panels_ + panel) * kTileSums);
      }
    }
  }
}

/// The first pair of images of a pixel in packed x; `line` counts from the band's first input line.
std::int64_t Bf16Weight::slot(std::int64_t unit, std::int64_t line, std::int64_t plane, std::int64_t column) const {
  const std::int64_t width = columns_.end - columns_.begin;
  const auto planes = static_cast<std::int64_t>(planes_.size());
  return (((unit * packed_lines_ + line) * planes + plane) * width + column - columns_.begin) * (lanes_ / 2);
}

/// Two panels of the operands for a part of the output lines of all units in a band. With stride 1, filter rows share most of
/// x's lines; else only one filter row is in the cache.
std::int64_t Bf16Weight::sub_band_bytes(Range part, Range lines) const {
  const std::int64_t count = lines.end - lines.begin, line_slots = slot(0, 1, 0, 0) - slot(0, 0, 0, 0);
  std::int64_t x_lines = 0;
  for (std::int64_t at = part.begin; at < part.end;) {
    const std::int64_t begin = at % count, end = std::min(count, begin + part.end - at);
    const Range in = input_lines(shape_, {lines.begin + begin, lines.begin + end});
    x_lines += shape_.stride == 1 ? in.end - in.begin : end - begin;
    at += end - begin;
  }
  return 2 * ((part.end - part.begin) * line_blocks_ * kTileBytes + x_lines * line_slots * kTileStride);
}

/// Splits the band into equal sub-bands that fit into the L1 cache.
int Bf16Weight::plan_steps(std::int64_t units, Range lines) {
  const std::int64_t count = lines.end - lines.begin, all = units * count;
  std::int64_t parts = 1;
  while (parts < all && sub_band_bytes(split(all, 0, parts), lines) > kSubBandBytes) ++parts;
  const std::int64_t first = input_lines(shape_, lines).begin;
  Steps steps{all * line_blocks_, {}, {}};
  for (std::int64_t part = 0; part < parts; ++part) {
    const Range sub = split(all, part, parts);
    for (int r = 0; r < shape_.r; ++r) {
      const std::size_t before = steps.all.size();
      for (std::int64_t at = sub.begin; at < sub.end; ++at) {
        const std::int64_t line = (lines.begin + at % count) * shape_.stride + r - shape_.padding;
        if (line < 0 || line >= shape_.h) continue;
        for (int block = 0; block < line_blocks_; ++block) {
          const std::int64_t b = slot(at / count, line - first, 0, std::int64_t{block} * pixels_);
          steps.all.push_back(
              {static_cast<std::int32_t>((at * line_blocks_ + block) * kTileBits), static_cast<std::int32_t>(b * kTileDepth)});
        }
      }
      steps.rows.push_back({nullptr, static_cast<int>(steps.all.size() - before)});
    }
  }
  const TileStep* next = steps.all.data();
  for (TileSteps& row : steps.rows) {
    row.at = next;
    next += row.count;
  }
  steps_.push_back(std::move(steps));
  return static_cast<int>(steps_.size()) - 1;
}

void Bf16Weight::plan_items(int threads) {
  const std::int64_t wanted = threads == 1 ? 1 : kItemsPerThread * threads;
  const auto bands = static_cast<std::int64_t>(bands_.size());
  const std::int64_t sum_bytes = k_panels_ * shape_.r * shape_.s * c_panels_ * kTileBytes;
  chunks_ = std::clamp<std::int64_t>(std::min(kWeightSumBytes / sum_bytes, bands / kMinBands), 1, kMaxWeightChunks);
  const std::int64_t cached = ceil_div(k_panels_, slice_panels_);
  const std::int64_t busy = std::min(ceil_div(threads, chunks_), ceil_div(k_panels_, 2));
  const std::int64_t slices = std::max({cached, busy, std::min(ceil_div(wanted, chunks_), ceil_div(k_panels_, kWidePanels))});
  for (int chunk = 0; chunk < static_cast<int>(chunks_); ++chunk) {
    for (std::int64_t slice = 0; slice < slices; ++slice) {
      const Range panels = split(k_panels_, slice, slices, 2);
      if (panels.begin < panels.end) items_.push_back({chunk, split(bands, chunk, chunks_), panels});
    }
  }
}

}  // namespace apam::kernels::cpu
