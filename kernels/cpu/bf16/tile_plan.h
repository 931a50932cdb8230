// How the output pixels of a convolution are mapped to the 16 rows of a tile, and where their input is packed.
//
// A row of A's tile is a block of 32 channels of one input pixel. Packed block by block, pixels are "slots" of 64
// bytes in an order in which the input of 16 rows is contiguous at every tap, so that a tile is one piece of 1 KiB:
//   slot = ((unit * planes + plane) * lines + line) * width + column) * lanes + lane
// A unit is `lanes` images (1, 2, 4, 8 or 16); a tile has 16 / lanes adjacent pixels of a line in each. With stride 2 the
// pixels are split into planes by the parity of row and column, so that neighbours in the output read neighbours in a plane. A
// tap is then a constant offset in slots.
//
// Wide images use one lane. Small images use more, and waste no rows: with 16 lanes a tile is one pixel of 16 images. Taps at
// which all rows of a tile are outside the image are skipped; columns outside the image are packed as zeros if a tile has
// several pixels. If a line is not a multiple of the tile, tiles may be flattened instead: they continue across the ends of
// lines, over padded columns that are discarded, and lines outside the image are packed as zeros too.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/cpu/bf16/tables.h"
#include "kernels/cpu/gather_product.h"

namespace apam::kernels::cpu {

struct TileMapping {
  int lanes = 1;
  bool flattened = false;

  int pixels() const { return kTileRows / lanes; }  ///< of a line in a tile
};

/// The mapping with the fewest products for `images` images.
TileMapping best_mapping(const GatherShape& shape);

/// The packed input of a band of output lines.
class PackedPixels {
 public:
  struct Plane {
    int row, column;  ///< holds the pixels (line * step + row, column * step + column)
  };

  PackedPixels() = default;
  /// For bands of up to `band_lines` lines of the grids in `shape`.
  PackedPixels(const GatherShape& shape, TileMapping mapping, int band_lines);

  const TileMapping& mapping() const { return mapping_; }
  const std::vector<Plane>& planes() const { return planes_; }
  /// Packed lines for the output lines `band`.
  Range lines(Range band) const;
  Range columns() const { return columns_; }
  std::int64_t width() const { return columns_.end - columns_.begin; }
  std::int64_t unit_slots() const { return static_cast<std::int64_t>(planes_.size()) * lines_ * width() * mapping_.lanes; }
  /// The slot of lane 0, within a unit; `line` counts from the first packed line.
  std::int64_t slot(int plane, std::int64_t line, std::int64_t column) const {
    return ((plane * lines_ + line) * width() + column - columns_.begin) * mapping_.lanes;
  }
  /// Slots from an output pixel's own place in plane 0 to its input at a tap.
  std::int64_t offset(const Tap& tap) const;

 private:
  int plane_of(const Tap& tap) const;

  TileMapping mapping_;
  int step_ = 1;
  std::vector<Plane> planes_;
  Range reach_;    // of the taps, in packed lines
  Range inside_;   // packed lines that hold pixels of the image
  Range columns_;  // packed columns
  std::int64_t lines_ = 0;
};

/// Tiles of one phase in a band that sum over the same taps.
struct TileRun {
  std::vector<int> taps;
  std::int64_t first, count;
};
struct TileList {
  std::vector<RowTile> tiles;  // `a` in slots
  std::vector<TileRun> runs;
};

/// The tiles of output lines `band` of a phase, for the `images` images of one packed block.
TileList list_tiles(const GatherShape& shape, const Phase& phase, const PackedPixels& packed, Range band, std::int64_t images);

}  // namespace apam::kernels::cpu
