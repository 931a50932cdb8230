// Rennala SGD (arXiv 2205.08768): an update is the mean of K gradients of the current version, whichever workers are first. A
// gradient of an older version is refused.
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Rennala final : public StalenessPolicy {
 public:
  explicit Rennala(std::int64_t gradients) : gradients_(gradients) {}
  bool applies_all() const override { return false; }
  bool accepts(const Arrival& arrival) const override { return arrival.staleness == 0; }
  std::int64_t gradients_per_update(std::int64_t /*update*/) const override { return gradients_; }
  bool averages() const override { return gradients_ > 1; }
  std::int64_t batches_of(std::int64_t updates) const override { return updates * gradients_; }
  std::int64_t updates_of(std::int64_t batches) const override {
    return batches / gradients_ + (batches % gradients_ != 0 ? 1 : 0);
  }

 private:
  std::int64_t gradients_;
};

}  // namespace

Policy rennala(const PolicyOptions& options) { return std::make_unique<Rennala>(*options.gradients); }

}  // namespace apam::exchange::policies
