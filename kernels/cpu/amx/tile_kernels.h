// The table of a tile unit's kernels.
#pragma once

#include "kernels/cpu/amx/tile_packing.h"
#include "kernels/cpu/amx/tile_product.h"

namespace apam::kernels::cpu {
namespace {

template <class Unit>
constexpr TileKernels16 tile_table() {
  return {Unit::name,  Unit::configure, Unit::release,   row_product<Unit>,  outer_product<Unit>,
          pack_pixels, pair_pixels,     transpose_pairs, pack_filters<Unit>, pack_rotated<Unit>};
}

}  // namespace
}  // namespace apam::kernels::cpu
