// The step shrinks with the staleness: learning rate / (1 + C tau).
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Scaled final : public StalenessPolicy {
 public:
  explicit Scaled(double factor) : factor_(factor) {}
  double step_factor(const Arrival& arrival) const override {
    return 1.0 / (1.0 + factor_ * static_cast<double>(arrival.staleness));
  }

 private:
  double factor_;
};

}  // namespace

Policy scaled(const PolicyOptions& options) { return std::make_unique<Scaled>(*options.factor); }

}  // namespace apam::exchange::policies
