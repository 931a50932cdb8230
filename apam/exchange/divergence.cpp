#include "apam/exchange/divergence.h"

#include <cmath>

namespace apam::exchange {

bool DivergenceWatch::ends_before(const GradientHeader& header, int worker, std::int64_t update) {
  if (std::isfinite(header.loss_sum)) return false;
  if (!first_) first_ = {update, worker, fmt::format("the loss is {}", header.loss_sum)};
  return !keep_going_;
}

bool DivergenceWatch::ends_after(int worker, ConstSpan<float> state, int updates) {
  if (first_) return !keep_going_;
  const auto tensor = updater_.non_finite_tensor(state, updates);
  if (!tensor) return false;
  first_ = {updater_.version(), worker, fmt::format("{} is not finite", *tensor)};
  return !keep_going_;
}

}  // namespace apam::exchange
