// The sum of the contributions that make an update, of which every one of their ranks computes a part.
#pragma once

#include <cstddef>
#include <span>

#include "apam/exchange/first_arrivals.h"
#include "kernels/runtime/parallel.h"

namespace apam::exchange {

/// The part of the sum, of [0, floats), that is computed by the i-th of `first` ranks. Whole cache lines, except for the last.
Range part_of_sum(std::size_t floats, std::size_t i, int first);

/// sum[i] = g_0[i] + g_1[i] + ..., in the order of the arrivals, for a part of the elements. From element `gradients` on, batch
/// statistics: their mean, weighted by rows. `values`, by arrival, and `sum` begin at part.begin.
void sum_arrivals(std::span<const EarlyGradient> arrivals, std::span<const float* const> values, Range part,
                  std::size_t gradients, float* sum);

}  // namespace apam::exchange
