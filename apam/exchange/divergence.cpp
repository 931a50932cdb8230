#include "apam/exchange/divergence.h"

#include <cmath>

namespace apam::exchange {

bool DivergenceWatch::ends_before(const GradientHeader& header, int worker) {
  if (std::isfinite(header.loss_sum)) return false;
  if (!first_) first_ = {updater_.version() + 1, worker, fmt::format("the loss is {}", header.loss_sum)};
  return !keep_going_;
}

bool DivergenceWatch::ends_after(int worker) {
  if (first_) return !keep_going_;
  const auto tensor = updater_.non_finite_tensor();
  if (!tensor) return false;
  first_ = {updater_.version(), worker, fmt::format("{} is not finite", *tensor)};
  return !keep_going_;
}

}  // namespace apam::exchange
