#include "kernels/cpu/bf16/bf16_weight.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/bf16/windows.h"
#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"

namespace apam::kernels::cpu {
namespace {

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

Bf16Weight::Bf16Weight(Exec& exec, const Conv2d::Problem& problem, const TileKernels16& kernels)
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

void Bf16Weight::run(Exec& exec, const BFloat16* x, const BFloat16* dy, bool accumulate, float* dw) const {
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
float* Bf16Weight::sums_of(const Item& item, const Operands& operands, int thread) const {
  if (chunks_ == 1) return sums_[thread].in(operands.workspace);
  return sums_[item.chunk].in(operands.workspace) + item.panels.begin * shape_.r * shape_.s * c_panels_ * kTileSums;
}

void Bf16Weight::run_item(const Item& item, const Operands& operands, int thread) const {
  kernels_.configure();
  for (std::int64_t band = item.bands.begin; band < item.bands.end; ++band) {
    pack_x(bands_[band], operands, thread);
    pack_dy(bands_[band], item.panels, operands, thread);
    multiply_band(item, band, operands, thread);
  }
  kernels_.release();
  if (chunks_ == 1) write_filters(item.panels, sums_of(item, operands, thread), 1, operands);
}

void Bf16Weight::pack_x(const Band& band, const Operands& operands, int thread) const {
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
void Bf16Weight::pack_x_line(const Bits16* even, const Bits16* odd, std::int64_t line, Bits16* to, Bits16* windows) const {
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

void Bf16Weight::pack_dy(const Band& band, Range panels, const Operands& operands, int thread) const {
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

void Bf16Weight::multiply_band(const Item& item, std::int64_t band, const Operands& operands, int thread) const {
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

std::int64_t Bf16Weight::images_in(const Band& band) const {
  return std::min<std::int64_t>(shape_.n - band.first_unit * lanes_, band.units * lanes_);
}

/// The lines of x that a band reads.
Ahead Bf16Weight::x_ahead(const Band& next, const Bits16* x) const {
  if (shape_.r < shape_.stride || shape_.s < shape_.stride) return {};  // most pixels are not read
  const std::int64_t line = std::int64_t{problem_.w} * problem_.c, image = problem_.h * line;
  const Range lines = input_lines(problem_, next.lines);
  return {.at = x + next.first_unit * lanes_ * image + lines.begin * line,
          .rows = images_in(next),
          .stride = image,
          .lines = ceil_div((lines.end - lines.begin) * line, kTileDepth)};
}

/// The lines of dy of a band: all channels, or those of a slice if the band is of whole images.
Ahead Bf16Weight::dy_ahead(const Band& next, Range panels, const Bits16* dy) const {
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
void Bf16Weight::write_filters(Range panels, const float* sums, std::int64_t chunks, const Operands& operands) const {
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
