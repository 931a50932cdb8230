// Register tile shapes of a vector type: rows x vectors of accumulators, which fill the registers together with a row of B.
#pragma once

namespace apam::kernels::cpu {

template <int tile_rows, int tile_vectors>
struct TileShape {
  static constexpr int rows = tile_rows, vectors = tile_vectors;
};

/// In order of preference.
template <class... Shapes>
struct TileShapes {};

}  // namespace apam::kernels::cpu
