// Synchronous warm-up: the first updates have no stale gradients, as in Rennala SGD (arXiv 2205.08768) with one gradient per
// worker. The weights change most in them, and the moments of the optimizer are formed.
#include <algorithm>

#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class WarmedUp final : public StalenessPolicy {
 public:
  WarmedUp(Policy policy, const PolicyOptions& options)
      : then_(std::move(policy)), updates_(options.warmup_updates), gradients_(options.warmup_gradients) {}

  bool applies_all() const override { return false; }
  bool accepts(const Arrival& arrival) const override {
    return warms_up(arrival.update) ? arrival.staleness == 0 : then_->accepts(arrival);
  }
  // Of a mean it is 1 (master_state.h), and of one gradient without staleness too.
  double step_factor(const Arrival& arrival) const override { return then_->step_factor(arrival); }
  bool changes_gradients() const override { return then_->changes_gradients(); }
  double gradient_factor(const Arrival& arrival) const override { return then_->gradient_factor(arrival); }
  double compensation() const override { return then_->compensation(); }
  std::optional<std::int64_t> cancels_at() const override { return then_->cancels_at(); }
  std::optional<std::int64_t> most_ahead() const override { return then_->most_ahead(); }
  std::int64_t gradients_per_update(std::int64_t update) const override {
    return warms_up(update) ? gradients_ : then_->gradients_per_update(update);
  }
  bool averages() const override { return gradients_ > 1 || then_->averages(); }
  std::int64_t batches_of(std::int64_t updates) const override {
    const std::int64_t first = std::min(updates, updates_);
    return first * gradients_ + then_->batches_of(updates - first);
  }
  std::int64_t updates_of(std::int64_t batches) const override {
    if (batches / gradients_ < updates_) return batches / gradients_ + (batches % gradients_ != 0 ? 1 : 0);
    return updates_ + then_->updates_of(batches - updates_ * gradients_);
  }

 private:
  bool warms_up(std::int64_t update) const { return update <= updates_; }

  Policy then_;
  std::int64_t updates_, gradients_;
};

}  // namespace

Policy warmed_up(Policy policy, const PolicyOptions& options) { return std::make_unique<WarmedUp>(std::move(policy), options); }

}  // namespace apam::exchange::policies
