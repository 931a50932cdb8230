// Artificial delay (APAM, section 5.4): training in one process with the staleness of many workers.
//
//   tau(u) = uniform in 0 .. min(D, u) - 1, by Philox under (seed, Purpose::delay, stream u)
//
// The gradient of update u = 1, 2, ... is computed on version u - 1 - tau(u) of the weights, so tau(u) is its staleness. Once
// D versions exist, the mean is (D - 1) / 2. D = 1 is training without delay.
#pragma once

#include <cstdint>

#include "apam/exchange/weight_history.h"

namespace apam::exchange {

/// The choice among the last D versions, which a WeightHistory with a window of D keeps. Used by the master (master_state.h).
class ArtificialDelay {
 public:
  static constexpr std::int64_t kMostDelay = 100000;

  /// Throws InputError unless max_delay is in 1 .. kMostDelay.
  ArtificialDelay(std::int64_t max_delay, std::uint64_t seed);

  /// The history that it chooses from.
  static HistoryLayout history(std::size_t weights, std::size_t statistics, std::int64_t max_delay);

  /// The version that the gradient of update `update` (>= 1) is computed on. A pure function of the constructor's arguments.
  std::int64_t version_for(std::int64_t update) const;

 private:
  std::int64_t max_delay_;
  std::uint64_t seed_;
};

}  // namespace apam::exchange
