// The table of the kernels on a unit, see tile_unit.h.
#pragma once

#include "kernels/cpu/bf16/tile_packing.h"
#include "kernels/cpu/bf16/tile_product.h"

namespace apam::kernels::cpu {
namespace {

template <class Unit>
constexpr TileKernels16 tile_table() {
  return {Unit::name,  Unit::rate,  Unit::configure, Unit::release,      row_product<Unit>, outer_product<Unit>,
          pack_pixels, pair_pixels, transpose_pairs, pack_filters<Unit>, pack_rotated<Unit>};
}

}  // namespace
}  // namespace apam::kernels::cpu
