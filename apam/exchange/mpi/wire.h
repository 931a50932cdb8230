// Values of gradients and weights as they travel. Only for this folder, and its tests.
//
//   float32    as they are, from and into the memory of the caller
//   bfloat16   rounded to nearest, ties to even: half the bytes, with a copy on each side
#pragma once

#include <cstddef>
#include <span>

#include "apam/exchange/mpi/transports.h"
#include "kernels/runtime/dtype.h"

namespace apam::exchange::mpi {

constexpr std::size_t bytes_per_value(Wire wire) { return wire == Wire::bfloat16 ? sizeof(BFloat16) : sizeof(float); }

/// Both have the same size, and do not overlap.
void round_values(std::span<const float> values, std::span<BFloat16> rounded);
void widen_values(std::span<const BFloat16> rounded, std::span<float> values);

}  // namespace apam::exchange::mpi
