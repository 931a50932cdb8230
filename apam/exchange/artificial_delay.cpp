#include "apam/exchange/artificial_delay.h"

#include <algorithm>

#include "kernels/runtime/philox.h"

namespace apam::exchange {
namespace {

std::int64_t checked(std::int64_t max_delay) {
  require<InputError>(max_delay >= 1 && max_delay <= ArtificialDelay::kMostDelay,
                      "artificial delay: the last {} versions, expected 1 to {}", max_delay, ArtificialDelay::kMostDelay);
  return max_delay;
}

}  // namespace

ArtificialDelay::ArtificialDelay(std::int64_t max_delay, std::uint64_t seed) : max_delay_(checked(max_delay)), seed_(seed) {}

HistoryLayout ArtificialDelay::history(std::size_t weights, std::size_t statistics, std::int64_t max_delay) {
  // At least two slots: one is read while the other is written.
  return {weights, statistics, checked(max_delay), std::max<std::int64_t>(max_delay, 2)};
}

std::int64_t ArtificialDelay::version_for(std::int64_t update) const {
  const auto versions = static_cast<std::uint32_t>(std::min(max_delay_, update));
  const Random random(seed_, Purpose::delay, static_cast<std::uint64_t>(update));
  return update - 1 - static_cast<std::int64_t>(random.below(versions, 0));
}

}  // namespace apam::exchange
