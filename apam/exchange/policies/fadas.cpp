// The delay-adaptive learning rate of FADAS (arXiv 2407.18365): eta if tau <= R, else min(eta, 1 / tau).
#include <algorithm>

#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Fadas final : public StalenessPolicy {
 public:
  explicit Fadas(std::int64_t bound) : bound_(bound) {}
  double step_factor(const Arrival& arrival) const override {
    if (arrival.staleness <= bound_) return 1;
    return std::min(1.0, 1.0 / (static_cast<double>(arrival.staleness) * arrival.rate));
  }

 private:
  std::int64_t bound_;
};

}  // namespace

Policy fadas(const PolicyOptions& options) { return std::make_unique<Fadas>(*options.bound); }

}  // namespace apam::exchange::policies
