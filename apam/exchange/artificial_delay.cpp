#include "apam/exchange/artificial_delay.h"

#include <algorithm>

#include "kernels/runtime/philox.h"

namespace apam::exchange {
namespace {

std::int64_t checked(std::int64_t max_delay) {
  require<InputError>(max_delay >= 1 && max_delay <= DelayedWeights::kMostDelay,
                      "artificial delay: the last {} versions, expected 1 to {}", max_delay, DelayedWeights::kMostDelay);
  return max_delay;
}

/// A history has at least two slots: one is read while the other is written.
std::int64_t slots_for(std::int64_t max_delay) { return std::max<std::int64_t>(max_delay, 2); }

}  // namespace

DelayedWeights::DelayedWeights(ConstSpan<float> initial, std::int64_t max_delay, std::uint64_t seed)
    : max_delay_(checked(max_delay)), seed_(seed), history_(initial.device(), initial.size(), max_delay, slots_for(max_delay)) {
  add(initial);
}

std::size_t DelayedWeights::bytes(std::size_t size, std::int64_t max_delay) {
  return static_cast<std::size_t>(slots_for(max_delay)) * size * sizeof(float);
}

void DelayedWeights::add(ConstSpan<float> weights) {
  WritableVersion next = history_.begin_next();
  copy(weights, next.weights());
  history_.publish(std::move(next));
}

std::int64_t DelayedWeights::version_for(std::int64_t update) const {
  const auto versions = static_cast<std::uint32_t>(std::min(max_delay_, update));
  const Random random(seed_, Purpose::delay, static_cast<std::uint64_t>(update));
  return update - 1 - static_cast<std::int64_t>(random.below(versions, 0));
}

}  // namespace apam::exchange
