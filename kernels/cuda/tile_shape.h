// Sizes of the tiles of products in bfloat16, on the host side.
#pragma once

#include <cstdint>

namespace apam::kernels::cuda {

/// The tile of a product in bfloat16, rows x columns: t by mma, w by wgmma, which compute capability 9.0 has. Products in
/// float32 have one kind of tile, 64 x 64. Only gradients in w have tiles of 64 x 128.
enum class TileSize : std::uint8_t { best, t64x64, t64x128, t128x64, t128x128, w64x64, w128x64, w128x128 };

constexpr bool is_wgmma(TileSize size) { return size >= TileSize::w64x64; }

struct TileShape {
  int rows, columns;
};

constexpr TileShape shape_of(TileSize size) {
  switch (size) {
    case TileSize::t128x128:
    case TileSize::w128x128:
      return {128, 128};
    case TileSize::t128x64:
    case TileSize::w128x64:
      return {128, 64};
    case TileSize::t64x128:
      return {64, 128};
    default:
      return {64, 64};
  }
}

inline constexpr int kMultiprocessors = 132;  // of a large GPU; decisions depend on the problem only, so that results do

// What estimates of cycles are made of, for a multiprocessor of sm_90.
inline constexpr double kL2BytesPerCycle = 2800;  // of all multiprocessors
inline constexpr double kBlockCycles = 1500;      // begin and end of a block

/// A tile: cycles per stage of a block that has a multiprocessor for itself, and of each of many.
struct TileCost {
  TileSize size;
  int depth;  ///< of a stage
  double alone, crowded;
  int resident;  ///< blocks
};

/// By wgmma, the limit is shared memory: 128 bytes per cycle, for copies and products.
inline constexpr TileCost kWgmmaCosts[] = {
    {TileSize::w128x128, 64, 900, 640, 2}, {TileSize::w128x64, 64, 600, 450, 2}, {TileSize::w64x64, 64, 500, 256, 3}};

}  // namespace apam::kernels::cuda
