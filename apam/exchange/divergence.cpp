#include "apam/exchange/divergence.h"

#include <cmath>
#include <utility>

namespace apam::exchange {

bool DivergenceWatch::ends_before(const GradientHeader& header, int worker, std::int64_t update) {
  if (std::isfinite(header.loss_sum)) return false;
  if (!first_) {
    first_ = {update, worker, fmt::format("the loss is {}", header.loss_sum)};
    is_loss_ = true;
  }
  return !keep_going_;
}

bool DivergenceWatch::ends_after(int worker, engine::Updater::Examine examine, const std::optional<ShardFinding>& elsewhere) {
  const int previous = std::exchange(worker_, worker);
  if (first_) {  // nothing is examined any more, but a state that is shown must be complete
    if (examine == engine::Updater::Examine::all) updater_.synchronize();
    return !keep_going_;
  }
  std::optional<ShardFinding> found = elsewhere;
  if (const auto here = updater_.non_finite(examine)) found = ShardFinding{*here};
  if (!found) return false;
  if (found->worker < 0) found->worker = found->update == updater_.version() ? worker : previous;
  first_ = {found->update, found->worker, fmt::format("{} is not finite", found->tensor)};
  return !keep_going_;
}

bool DivergenceWatch::ends_together(const std::optional<ShardFinding>& elsewhere) {
  if (elsewhere && (!first_ || (is_loss_ && !keep_going_))) {
    first_ = {elsewhere->update, elsewhere->worker, fmt::format("{} is not finite", elsewhere->tensor)};
    is_loss_ = false;
  }
  return first_ && !keep_going_;
}

}  // namespace apam::exchange
