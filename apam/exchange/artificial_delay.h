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

/// The last D versions of the weights of a model, and the choice among them. Used by the master (master.h).
class DelayedWeights {
 public:
  static constexpr std::int64_t kMostDelay = 100000;

  /// Version 0 is a copy of `initial`. Throws InputError unless max_delay is in 1 .. kMostDelay, DeviceError if memory runs
  /// out.
  DelayedWeights(ConstSpan<float> initial, std::int64_t max_delay, std::uint64_t seed);

  /// Bytes for `max_delay` versions of `size` floats.
  static std::size_t bytes(std::size_t size, std::int64_t max_delay);

  /// Copies the weights after another update.
  void add(ConstSpan<float> weights);

  /// The version that the gradient of update `update` (>= 1) is computed on. A pure function of the constructor's arguments.
  std::int64_t version_for(std::int64_t update) const;

  const WeightHistory& history() const { return history_; }

 private:
  std::int64_t max_delay_;
  std::uint64_t seed_;
  WeightHistory history_;
};

}  // namespace apam::exchange
