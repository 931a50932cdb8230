// Blocks of products on registers that hold tiles: 2 x 2 tiles of C, or 4 x 1.
//
// Four accumulators hide the latency of the products (52 cycles, one product per 16), and a block of 2 x 2 loads one tile per
// product: 8 cycles from the L1 cache, but about 30 from L2. Callers therefore keep one operand in L1.
#pragma once

#include "kernels/cpu/bf16/tables.h"

namespace apam::kernels::cpu {
namespace {

template <int kColumns>
float* tile_of(const SumTiles<kColumns>& sums, int index) {
  return sums.column[index % kColumns] + index / kColumns * sums.row;
}

/// A unit of tile_unit.h on `Tiles`, which has all of a unit but multiply_block(), and eight tiles with these members; T, C, A
/// and B are tile numbers, strides are in bytes:
///   zero<T>()
///   load<T>(from, stride)  16 rows of 64 bytes
///   store<T>(to, stride)   the same
///   multiply<C, A, B>()    C += A * B
/// Values in tiles do not outlive the object.
template <class Tiles>
class TileBlock : public Tiles {
 public:
  /// Tiles 0 to 3: C, row by row; 4, 5: A; 6, 7: B.
  template <int kRows, int kColumns>
  void multiply_block(const BlockOperands<kRows, kColumns>& in, const TileSteps& steps, const SumTiles<kColumns>& sums,
                      bool first) {
    static_assert(kRows * kColumns <= 4 && kColumns <= 2 && kRows != 3);
    load_sums<0, kRows * kColumns>(sums, first);
    for (int i = 0; i < steps.count; ++i) {
      const std::int64_t at_a = steps.at[i].a, at_b = std::int64_t{steps.at[i].b} * in.b_scale;
      this->template load<4>(in.a[0] + at_a, kTileStride);
      this->template load<6>(in.b[0] + at_b, kTileStride);
      this->template multiply<0, 4, 6>();
      if constexpr (kColumns == 2) {
        this->template load<7>(in.b[1] + at_b, kTileStride);
        this->template multiply<1, 4, 7>();
      }
      if constexpr (kRows >= 2) {
        this->template load<5>(in.a[1] + at_a, kTileStride);
        this->template multiply<kColumns, 5, 6>();
        if constexpr (kColumns == 2) this->template multiply<3, 5, 7>();
      }
      if constexpr (kRows == 4) {
        this->template load<4>(in.a[2] + at_a, kTileStride);
        this->template multiply<2, 4, 6>();
        this->template load<5>(in.a[3] + at_a, kTileStride);
        this->template multiply<3, 5, 6>();
      }
    }
    store_sums<0, kRows * kColumns>(sums);
  }

 private:
  template <int kTile, int kTiles, int kColumns>
  void load_sums(const SumTiles<kColumns>& sums, bool first) {
    if constexpr (kTile < kTiles) {
      if (first) {
        this->template zero<kTile>();
      } else {
        this->template load<kTile>(tile_of(sums, kTile), kTileStride);
      }
      load_sums<kTile + 1, kTiles>(sums, first);
    }
  }

  template <int kTile, int kTiles, int kColumns>
  void store_sums(const SumTiles<kColumns>& sums) {
    if constexpr (kTile < kTiles) {
      this->template store<kTile>(tile_of(sums, kTile), kTileStride);
      store_sums<kTile + 1, kTiles>(sums);
    }
  }
};

}  // namespace
}  // namespace apam::kernels::cpu
