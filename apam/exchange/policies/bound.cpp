// A gradient of staleness above R is refused.
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Bound final : public StalenessPolicy {
 public:
  explicit Bound(std::int64_t bound) : bound_(bound) {}
  bool applies_all() const override { return false; }
  bool accepts(const Arrival& arrival) const override { return arrival.staleness <= bound_; }

 private:
  std::int64_t bound_;
};

}  // namespace

Policy bound(const PolicyOptions& options) { return std::make_unique<Bound>(*options.bound); }

}  // namespace apam::exchange::policies
