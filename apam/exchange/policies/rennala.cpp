// Rennala SGD (arXiv 2205.08768): an update is the mean of K gradients of the current version, whichever workers are first. A
// gradient of an older version is refused.
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Rennala final : public StalenessPolicy {
 public:
  explicit Rennala(std::int64_t gradients) : gradients_(gradients) {}
  bool accepts(const Arrival& arrival) const override { return arrival.staleness == 0; }
  std::int64_t gradients_per_update() const override { return gradients_; }

 private:
  std::int64_t gradients_;
};

}  // namespace

Policy rennala(const PolicyOptions& options) { return std::make_unique<Rennala>(*options.gradients); }

}  // namespace apam::exchange::policies
