#include "kernels/cpu/bf16/tile_plan.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/cpu/integers.h"

namespace apam::kernels::cpu {
namespace {

int grid_h(const GatherShape& shape) {
  int h = 0;
  for (const Phase& phase : shape.phases) h = std::max(h, phase.grid_h);
  return h;
}
int grid_w(const GatherShape& shape) {
  int w = 0;
  for (const Phase& phase : shape.phases) w = std::max(w, phase.grid_w);
  return w;
}

/// The first and last + 1 packed row or column offset of all taps; `of` gives a tap's displacement.
template <class Of>
Range reach_of(const GatherShape& shape, Of of) {
  Range reach{std::numeric_limits<int>::max(), std::numeric_limits<int>::min()};
  for (const Phase& phase : shape.phases) {
    for (const Tap& tap : phase.taps) {
      const std::int64_t at = floor_div(of(tap), shape.in.step);
      reach = {std::min(reach.begin, at), std::max(reach.end, at + 1)};
    }
  }
  return reach;
}

/// A row of a tile: an output pixel of an image. Not all rows have one.
struct Row {
  bool exists;
  int u, v;
  std::int64_t image;
};

class TileLister {
 public:
  TileLister(const GatherShape& shape, const Phase& phase, const PackedPixels& packed, Range band, std::int64_t images)
      : shape_(shape),
        phase_(phase),
        packed_(packed),
        mapping_(packed.mapping()),
        band_{band.begin, std::min<std::int64_t>(band.end, phase.grid_h)},
        first_line_(packed.lines(band).begin),
        images_(images) {}

  TileList list() {
    if (band_.begin >= band_.end) return {};
    for (std::int64_t unit = 0; unit < ceil_div(images_, mapping_.lanes); ++unit) {
      if (mapping_.flattened) {
        const std::int64_t slots = (band_.end - band_.begin - 1) * packed_.width() + phase_.grid_w;
        for (std::int64_t slot = 0; slot < slots; slot += mapping_.pixels()) add(unit, band_.begin, slot);
      } else {
        for (std::int64_t u = band_.begin; u < band_.end; ++u) {
          for (int v = 0; v < phase_.grid_w; v += mapping_.pixels()) add(unit, u, v);
        }
      }
    }
    TileList list;
    for (auto& [taps, tiles] : by_taps_) {
      list.runs.push_back({taps, static_cast<std::int64_t>(list.tiles.size()), static_cast<std::int64_t>(tiles.size())});
      list.tiles.insert(list.tiles.end(), tiles.begin(), tiles.end());
    }
    return list;
  }

 private:
  /// The tile that starts at column `v` of line `u`.
  void add(std::int64_t unit, std::int64_t u, std::int64_t v) {
    std::array<Row, kTileRows> rows{};
    RowTile tile{};
    tile.a = unit * packed_.unit_slots() + packed_.slot(0, u - first_line_, v);
    for (int i = 0; i < kTileRows; ++i) {
      Row& row = rows[i];
      row = row_of(unit, u, v + i / mapping_.lanes, i % mapping_.lanes);
      tile.out[i] = row.exists ? row.image * shape_.out_image + phase_.first + row.u * phase_.row + row.v * phase_.column
                               : RowTile::kDiscarded;
    }
    std::vector<int> taps;
    for (std::size_t tap = 0; tap < phase_.taps.size(); ++tap) {
      if (std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.exists && inside(row, phase_.taps[tap]); })) {
        taps.push_back(static_cast<int>(tap));
      }
    }
    by_taps_[std::move(taps)].push_back(tile);
  }

  Row row_of(std::int64_t unit, std::int64_t u, std::int64_t v, int lane) const {
    if (mapping_.flattened) {
      u += v / packed_.width();
      v %= packed_.width();
    }
    const std::int64_t image = unit * mapping_.lanes + lane;
    return {u < band_.end && v < phase_.grid_w && image < images_, static_cast<int>(u), static_cast<int>(v), image};
  }

  bool inside(const Row& row, const Tap& tap) const {
    const PixelMap& in = shape_.in;
    const int i = row.u * in.step + tap.dh, j = row.v * in.step + tap.dw;
    return i >= 0 && i < in.h && j >= 0 && j < in.w;
  }

  const GatherShape& shape_;
  const Phase& phase_;
  const PackedPixels& packed_;
  TileMapping mapping_;
  Range band_;
  std::int64_t first_line_, images_;
  std::map<std::vector<int>, std::vector<RowTile>> by_taps_;
};

/// Products per block of depth and panel, for all images.
double cost(const GatherShape& shape, TileMapping mapping) {
  const int h = grid_h(shape);
  const PackedPixels packed(shape, mapping, h);
  double products = 0;
  for (const Phase& phase : shape.phases) {
    const TileList list = list_tiles(shape, phase, packed, {0, h}, mapping.lanes);
    for (const TileRun& run : list.runs) products += static_cast<double>(run.taps.size()) * static_cast<double>(run.count);
  }
  return products * static_cast<double>(ceil_div(shape.images, mapping.lanes));
}

}  // namespace

TileMapping best_mapping(const GatherShape& shape) {
  constexpr double kGain = 0.95;  // by which more lanes must win: blocks of fewer images give the threads more to share
  const int widest = grid_w(shape);
  TileMapping best;
  double fewest = cost(shape, best);
  const auto consider = [&](TileMapping mapping) {
    const double products = cost(shape, mapping);
    if (products >= kGain * fewest) return;
    best = mapping;
    fewest = products;
  };
  consider({1, true});
  if (widest > 4 * kTileRows) return best;
  for (const int lanes : {2, 4, 8, 16}) consider({lanes, false});
  return best;
}

PackedPixels::PackedPixels(const GatherShape& shape, TileMapping mapping, int band_lines)
    : mapping_(mapping), step_(shape.in.step), reach_(reach_of(shape, [](const Tap& tap) { return tap.dh; })) {
  for (const Phase& phase : shape.phases) {
    for (const Tap& tap : phase.taps) {
      const Plane plane{floor_mod(tap.dh, step_), floor_mod(tap.dw, step_)};
      const auto same = [&](const Plane& p) { return p.row == plane.row && p.column == plane.column; };
      if (std::none_of(planes_.begin(), planes_.end(), same)) planes_.push_back(plane);
    }
  }
  inside_ = {0, ceil_div(shape.in.h, step_)};
  const Range reach = reach_of(shape, [](const Tap& tap) { return tap.dw; });
  columns_ = {reach.begin, grid_w(shape) + reach.end - 1};
  if (mapping.pixels() == 1) {  // no tap outside the image is read
    columns_ = {std::max<std::int64_t>(columns_.begin, 0), std::min(columns_.end, ceil_div(shape.in.w, step_))};
    columns_.end = std::max(columns_.end, columns_.begin + 1);
  }
  lines_ = band_lines + reach_.end - reach_.begin - 1;
  if (!mapping.flattened) lines_ = std::min(lines_, inside_.end);
}

Range PackedPixels::lines(Range band) const {
  const Range all{band.begin + reach_.begin, band.end + reach_.end - 1};
  if (mapping_.flattened) return all;  // tiles read lines outside the image
  const std::int64_t begin = std::clamp(all.begin, inside_.begin, inside_.end);
  return {begin, std::clamp(all.end, begin, inside_.end)};
}

int PackedPixels::plane_of(const Tap& tap) const {
  const auto found = std::find_if(planes_.begin(), planes_.end(), [&](const Plane& plane) {
    return plane.row == floor_mod(tap.dh, step_) && plane.column == floor_mod(tap.dw, step_);
  });
  return static_cast<int>(found - planes_.begin());
}

std::int64_t PackedPixels::offset(const Tap& tap) const {
  return slot(plane_of(tap), floor_div(tap.dh, step_), floor_div(tap.dw, step_)) - slot(0, 0, 0);
}

TileList list_tiles(const GatherShape& shape, const Phase& phase, const PackedPixels& packed, Range band, std::int64_t images) {
  return TileLister(shape, phase, packed, band, images).list();
}

}  // namespace apam::kernels::cpu
