#include "apam/exchange/divergence.h"

#include <cmath>
#include <utility>

namespace apam::exchange {

bool DivergenceWatch::ends_before(const GradientHeader& header, int worker, std::int64_t update) {
  if (std::isfinite(header.loss_sum)) return false;
  if (!first_) first_ = {update, worker, fmt::format("the loss is {}", header.loss_sum)};
  return !keep_going_;
}

bool DivergenceWatch::ends_after(int worker, engine::Updater::Examine examine,
                                 const std::optional<engine::NonFinite>& elsewhere) {
  const int previous = std::exchange(worker_, worker);
  if (first_) return !keep_going_;
  auto found = updater_.non_finite(examine);
  if (!found) found = elsewhere;
  if (!found) return false;
  const bool is_latest = found->update == updater_.version();
  first_ = {found->update, is_latest ? worker : previous, fmt::format("{} is not finite", found->tensor)};
  return !keep_going_;
}

}  // namespace apam::exchange
