#include "kernels/cpu/amx/amx_weight.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/amx/windows.h"
#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kBandBytes = 640 << 10;    // packed operands of a band, in a 2 MiB L2 cache
constexpr std::int64_t kSliceBytes = 1280 << 10;  // sums of a slice, in the same
constexpr std::int64_t kSubBandBytes = 42 << 10;  // two panels of x and of dy, in a 48 KiB L1 cache
constexpr std::int64_t kMinBlocks = 8;            // of the sum per sub-band: 512 cycles while 8 KiB of sums pass
constexpr std::int64_t kSumBytes = 4 << 20;       // for the sums of all chunks
constexpr std::int64_t kMaxChunks = 16;
constexpr std::int64_t kMinBands = 2;  // per chunk
constexpr std::int64_t kItemsPerThread = 4;
constexpr std::int64_t kWidePanels = 4;  // of filters per item: with fewer, packing x again in each slice costs too much
constexpr std::int64_t kTileBytes = kTileBits * sizeof(Bits16);

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/// The lines of x inside the image that some output lines read.
Range input_lines(const Conv2d::Problem& problem, Range lines) {
  const std::int64_t begin = lines.begin * problem.stride - problem.padding;
  const std::int64_t end = (lines.end - 1) * problem.stride - problem.padding + problem.r;
  return {std::clamp<std::int64_t>(begin, 0, problem.h), std::clamp<std::int64_t>(end, 0, problem.h)};
}

/// x as (N, P, Q, R*S*C) of windows.
Conv2d::Problem windows_problem(const Conv2d::Problem& problem) {
  return {.n = problem.n,
          .h = problem.out_h(),
          .w = problem.out_w(),
          .c = problem.r * problem.s * problem.c,
          .k = problem.k,
          .r = 1,
          .s = 1};
}

/// to (16) (+)= rows of sums, `stride` apart.
void add_sums(const float* from, std::int64_t count, std::int64_t stride, bool accumulate, float* to) {
  std::array<float, kTileColumns> sum{};
  std::copy_n(from, kTileColumns, sum.begin());
  if (accumulate) {
    for (int i = 0; i < kTileColumns; ++i) sum[i] = to[i] + sum[i];
  }
  for (std::int64_t other = 1; other < count; ++other) {
    for (int i = 0; i < kTileColumns; ++i) sum[i] += from[other * stride + i];
  }
  std::copy(sum.begin(), sum.end(), to);
}

int best_lanes(const Conv2d::Problem& shape) {
  int best = 2;
  std::int64_t fewest = 0;
  for (const int lanes : {2, 4, 8, 16, 32}) {
    const std::int64_t blocks = ceil_div(shape.n, lanes) * ceil_div(shape.out_w(), kTileDepth / lanes);
    if (fewest != 0 && blocks >= fewest) continue;
    best = lanes;
    fewest = blocks;
  }
  return best;
}

}  // namespace

AmxWeight::AmxWeight(Exec& exec, const Conv2d::Problem& problem, const TileKernels16& kernels)
    : problem_(problem),
      kernels_(kernels),
      windows_(packs_windows(problem)),
      shape_(windows_ ? windows_problem(problem) : problem),
      lanes_(best_lanes(shape_)),
      pixels_(kTileDepth / lanes_),
      line_blocks_(static_cast<int>(ceil_div(shape_.out_w(), pixels_))),
      k_panels_(ceil_div(shape_.k, kTileColumns)),
      c_panels_(ceil_div(shape_.c, kTileColumns)) {
  plan_columns();
  plan_bands();
  plan_items(exec.threads());
  std::int64_t blocks = 0;
  for (const Steps& steps : steps_) blocks = std::max(blocks, steps.blocks);
  for (int thread = 0; thread < exec.threads(); ++thread) {
    x_.push_back(workspace_.add<Bits16>(c_panels_ * x_panel_));
    dy_.push_back(workspace_.add<Bits16>(slice_panels_ * blocks * kTileBits));
    dy_line_.push_back(workspace_.add<Bits16>(slice_panels_ * line_blocks_ * kTileBits));
    window_lines_.push_back(workspace_.add<Bits16>(windows_ ? std::int64_t{2} * shape_.w * shape_.c : 0));
  }
  const std::int64_t panel = std::int64_t{shape_.r} * shape_.s * c_panels_ * kTileSums;
  for (std::int64_t i = 0; i < (chunks_ > 1 ? chunks_ : exec.threads()); ++i) {
    sums_.push_back(workspace_.add<float>((chunks_ > 1 ? k_panels_ : slice_panels_) * panel));
  }
  exec.reserve_workspace(workspace_.bytes());
}

/// Planes, packed columns and the filter slices: all that does not depend on bands.
void AmxWeight::plan_columns() {
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
void AmxWeight::plan_bands() {
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
    band_units_ = std::min({fitting, ceil_div(kMinBlocks, std::int64_t{lines} * line_blocks_), units});
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
std::int64_t AmxWeight::slot(std::int64_t unit, std::int64_t line, std::int64_t plane, std::int64_t column) const {
  const std::int64_t width = columns_.end - columns_.begin;
  const auto planes = static_cast<std::int64_t>(planes_.size());
  return (((unit * packed_lines_ + line) * planes + plane) * width + column - columns_.begin) * (lanes_ / 2);
}

/// Two panels of the operands for a part of the output lines of all units in a band. With stride 1, filter rows share most of
/// x's lines; else only one filter row is in the cache.
std::int64_t AmxWeight::sub_band_bytes(Range part, Range lines) const {
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
int AmxWeight::plan_steps(std::int64_t units, Range lines) {
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

void AmxWeight::plan_items(int threads) {
  const std::int64_t wanted = threads == 1 ? 1 : kItemsPerThread * threads;
  const auto bands = static_cast<std::int64_t>(bands_.size());
  const std::int64_t sum_bytes = k_panels_ * shape_.r * shape_.s * c_panels_ * kTileBytes;
  chunks_ = std::clamp<std::int64_t>(std::min(kSumBytes / sum_bytes, bands / kMinBands), 1, kMaxChunks);
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

void AmxWeight::run(Exec& exec, const BFloat16* x, const BFloat16* dy, bool accumulate, float* dw) const {
  const Operands operands{bits_of(x), bits_of(dy), dw, accumulate, exec.workspace(workspace_.bytes())};
  dynamic_loop(exec.threads(), static_cast<std::int64_t>(items_.size()),
               [&](std::int64_t item, int thread) { run_item(items_[item], operands, thread); });
  if (chunks_ == 1) return;
  parallel_for(exec.threads(), k_panels_, 1, [&](std::int64_t begin, std::int64_t end) {
    write_filters({begin, end}, sums_[0].in(operands.workspace) + begin * shape_.r * shape_.s * c_panels_ * kTileSums, chunks_,
                  operands);
  });
}

/// The sums of an item's first panel.
float* AmxWeight::sums_of(const Item& item, const Operands& operands, int thread) const {
  if (chunks_ == 1) return sums_[thread].in(operands.workspace);
  return sums_[item.chunk].in(operands.workspace) + item.panels.begin * shape_.r * shape_.s * c_panels_ * kTileSums;
}

void AmxWeight::run_item(const Item& item, const Operands& operands, int thread) const {
  kernels_.configure();
  for (std::int64_t band = item.bands.begin; band < item.bands.end; ++band) {
    pack_x(bands_[band], operands, thread);
    pack_dy(bands_[band], item.panels, operands, thread);
    multiply_band(item, band, operands, thread);
  }
  kernels_.release();
  if (chunks_ == 1) write_filters(item.panels, sums_of(item, operands, thread), 1, operands);
}

void AmxWeight::pack_x(const Band& band, const Operands& operands, int thread) const {
  const Range lines = input_lines(shape_, band.lines);
  const std::int64_t image_size = std::int64_t{problem_.h} * problem_.w * problem_.c;
  for (std::int64_t unit = 0; unit < band.units; ++unit) {
    for (int pair = 0; pair < lanes_ / 2; ++pair) {
      const std::int64_t image = (band.first_unit + unit) * lanes_ + 2 * pair;
      const Bits16* even = image < shape_.n ? operands.x + image * image_size : nullptr;
      const Bits16* odd = image + 1 < shape_.n ? operands.x + (image + 1) * image_size : nullptr;
      for (std::int64_t line = lines.begin; line < lines.end; ++line) {
        if ((line + shape_.padding) % shape_.stride >= shape_.r) continue;  // no tap reads it
        Bits16* to =
            x_[thread].in(operands.workspace) + (slot(unit, line - lines.begin, 0, columns_.begin) + pair) * kTileDepth;
        pack_x_line(even, odd, line, to, window_lines_[thread].in(operands.workspace));
      }
    }
  }
}

/// All planes of a line, of two images; zero outside the images.
void AmxWeight::pack_x_line(const Bits16* even, const Bits16* odd, std::int64_t line, Bits16* to, Bits16* windows) const {
  std::array<const Bits16*, 2> from{even, odd};
  for (const Bits16*& image : from) {
    if (image == nullptr) continue;
    if (windows_) {
      gather_windows(problem_, image, static_cast<int>(line), windows);
      image = windows;
      windows += std::int64_t{shape_.w} * shape_.c;
    } else {
      image += line * shape_.w * shape_.c;
    }
  }
  const std::int64_t step = std::int64_t{lanes_} / 2 * kTileDepth;
  for (const int plane : planes_) {
    Range inside{std::clamp<std::int64_t>(0, columns_.begin, columns_.end), 0};
    inside.end = std::clamp(ceil_div(std::max(shape_.w - plane, 0), shape_.stride), inside.begin, columns_.end);
    const auto pack = [&](Range range, const Bits16* first, const Bits16* second) {
      const PixelRow row{range.end - range.begin, std::int64_t{shape_.stride} * shape_.c, shape_.c};
      kernels_.pair_pixels(row, first, second, {to + (range.begin - columns_.begin) * step, step, x_panel_});
    };
    const std::int64_t start = (inside.begin * shape_.stride + plane) * shape_.c;
    const auto at = [&](const Bits16* image) { return image == nullptr ? nullptr : image + start; };
    pack({columns_.begin, inside.begin}, nullptr, nullptr);
    if (inside.begin < inside.end) pack(inside, at(from[0]), at(from[1]));
    pack({inside.end, columns_.end}, nullptr, nullptr);
    to += (columns_.end - columns_.begin) * step;
  }
}

void AmxWeight::pack_dy(const Band& band, Range panels, const Operands& operands, int thread) const {
  Bits16* pairs = dy_line_[thread].in(operands.workspace);  // (panels, line blocks, tile of B)
  Bits16* packed = dy_[thread].in(operands.workspace);
  const int p = shape_.out_h(), q = shape_.out_w();
  const std::int64_t step = std::int64_t{lanes_} / 2 * kTileDepth, line_panel = std::int64_t{line_blocks_} * kTileBits;
  const std::int64_t first = panels.begin * kTileColumns;
  const auto channels = static_cast<int>(std::min(shape_.k - first, (panels.end - panels.begin) * kTileColumns));
  const std::int64_t a_panel = steps_[band.steps].blocks * kTileBits;
  std::int64_t block = 0;
  for (std::int64_t unit = 0; unit < band.units; ++unit) {
    for (std::int64_t line = band.lines.begin; line < band.lines.end; ++line, block += line_blocks_) {
      for (int pair = 0; pair < lanes_ / 2; ++pair) {
        const std::int64_t image = (band.first_unit + unit) * lanes_ + 2 * pair;
        const auto at = [&](std::int64_t n) {
          return n < shape_.n ? operands.dy + (n * p + line) * q * shape_.k + first : nullptr;
        };
        Bits16* to = pairs + std::int64_t{pair} * kTileDepth;
        kernels_.pair_pixels({q, shape_.k, channels}, at(image), at(image + 1), {to, step, line_panel});
        const std::int64_t rest = std::int64_t{line_blocks_} * pixels_ - q;
        kernels_.pair_pixels({rest, 0, channels}, nullptr, nullptr, {to + q * step, step, line_panel});
      }
      for (std::int64_t panel = 0; panel < panels.end - panels.begin; ++panel) {
        kernels_.transpose_pairs(pairs + panel * line_panel, line_blocks_, packed + panel * a_panel + block * kTileBits);
      }
    }
  }
}

void AmxWeight::multiply_band(const Item& item, std::int64_t band, const Operands& operands, int thread) const {
  const Steps& steps = steps_[bands_[band].steps];
  const auto rows = static_cast<std::int64_t>(steps.rows.size());
  const std::int64_t panels = item.panels.end - item.panels.begin, sums_row = shape_.s * c_panels_ * kTileSums;
  Ahead x, dy;
  if (band + 1 < item.bands.end) {
    const std::int64_t products = rows * ceil_div(panels, 2) * ceil_div(shape_.s * c_panels_, 2);
    x = x_ahead(bands_[band + 1], operands.x);
    dy = dy_ahead(bands_[band + 1], item.panels, operands.dy);
    for (Ahead* ahead : {&x, &dy}) ahead->share = ceil_div(ahead->rows * ahead->lines, products);
  }
  const int together = shape_.stride == 1 ? shape_.r : 1;  // filter rows
  for (std::int64_t sub = 0; sub < rows; sub += shape_.r) {
    for (std::int64_t pair = 0; pair < c_panels_; pair += 2) {
      const int width = static_cast<int>(std::min<std::int64_t>(2, c_panels_ - pair));
      for (int r = 0; r < shape_.r; r += together) {
        kernels_.outer_product({.steps = steps.rows.data() + sub + r,
                                .filter_rows = together,
                                .a = dy_[thread].in(operands.workspace),
                                .a_panel = steps.blocks * kTileBits,
                                .panels = static_cast<int>(panels),
                                .b = x_[thread].in(operands.workspace),
                                .b_starts = b_starts_.data() + pair * shape_.s,
                                .sum_columns = sum_columns_.data() + pair * shape_.s,
                                .columns = shape_.s * width,
                                .first = band == item.bands.begin && sub == 0,
                                .sums = sums_of(item, operands, thread) + r * sums_row,
                                .sums_panel = shape_.r * sums_row,
                                .sums_row = sums_row,
                                .ahead_a = &dy,
                                .ahead_b = &x});
      }
    }
  }
}

std::int64_t AmxWeight::images_in(const Band& band) const {
  return std::min<std::int64_t>(shape_.n - band.first_unit * lanes_, band.units * lanes_);
}

/// The lines of x that a band reads.
Ahead AmxWeight::x_ahead(const Band& next, const Bits16* x) const {
  if (shape_.r < shape_.stride || shape_.s < shape_.stride) return {};  // most pixels are not read
  const std::int64_t line = std::int64_t{problem_.w} * problem_.c, image = problem_.h * line;
  const Range lines = input_lines(problem_, next.lines);
  return {.at = x + next.first_unit * lanes_ * image + lines.begin * line,
          .rows = images_in(next),
          .stride = image,
          .lines = ceil_div((lines.end - lines.begin) * line, kTileDepth)};
}

/// The lines of dy of a band: all channels, or those of a slice if the band is of whole images.
Ahead AmxWeight::dy_ahead(const Band& next, Range panels, const Bits16* dy) const {
  const std::int64_t line = std::int64_t{shape_.out_w()} * shape_.k, image = shape_.out_h() * line;
  const std::int64_t first = next.first_unit * lanes_ * image + next.lines.begin * line,
                     count = next.lines.end - next.lines.begin;
  if (panels.end - panels.begin == k_panels_) {
    return {.at = dy + first, .rows = images_in(next), .stride = image, .lines = ceil_div(count * line, kTileDepth)};
  }
  if (count < shape_.out_h()) return {};
  return {.at = dy + first + panels.begin * kTileColumns,
          .rows = images_in(next) * image / shape_.k,
          .stride = shape_.k,
          .lines = ceil_div((panels.end - panels.begin) * kTileColumns, kTileDepth)};
}

/// dw (+)= the sums of the chunks, added in order.
void AmxWeight::write_filters(Range panels, const float* sums, std::int64_t chunks, const Operands& operands) const {
  const std::int64_t taps = std::int64_t{shape_.r} * shape_.s;
  const std::int64_t chunk = k_panels_ * taps * c_panels_ * kTileSums;
  const std::int64_t last = std::min<std::int64_t>(shape_.k, panels.end * kTileRows);
  for (std::int64_t k = panels.begin * kTileRows; k < last; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t tile = ((k / kTileRows - panels.begin) * taps + tap) * c_panels_;
      const float* from = sums + tile * kTileSums + k % kTileRows * kTileColumns;
      float* to = operands.dw + (k * taps + tap) * shape_.c;
      for (std::int64_t c = 0; c < shape_.c; c += kTileColumns, from += kTileSums, to += kTileColumns) {
        if (c + kTileColumns <= shape_.c) {
          add_sums(from, chunks, chunk, operands.accumulate, to);
        } else {
          std::array<float, kTileColumns> part{};
          std::copy_n(to, shape_.c - c, part.begin());
          add_sums(from, chunks, chunk, operands.accumulate, part.data());
          std::copy_n(part.begin(), shape_.c - c, to);
        }
      }
    }
  }
}

}  // namespace apam::kernels::cpu
