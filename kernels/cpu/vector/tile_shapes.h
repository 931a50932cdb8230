// The shapes of register tiles that a vector type lists: rows x vectors of accumulators, which with a row of B fill the
// registers.
#pragma once

namespace apam::kernels::cpu {

template <int tile_rows, int tile_vectors>
struct TileShape {
  static constexpr int rows = tile_rows, vectors = tile_vectors;
};

/// The preferred one first.
template <class... Shapes>
struct TileShapes {};

}  // namespace apam::kernels::cpu
