// Cosine-gated Adam-decay (arXiv 2605.09126): the gradient is multiplied before both moments by
//   e^(-C tau) (1 + cos(pi min(tau / R, 1))) / 2
// so that the moments forget what is old. Zero from tau = R on.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Cgad final : public StalenessPolicy {
 public:
  Cgad(std::int64_t cutoff, double decay) : cutoff_(cutoff), decay_(decay) {}
  bool changes_gradients() const override { return true; }
  double gradient_factor(const Arrival& arrival) const override {
    if (arrival.staleness == 0) return 1;
    if (arrival.staleness >= cutoff_) return 0;
    const auto tau = static_cast<double>(arrival.staleness);
    const double gate = 0.5 * (1.0 + std::cos(std::numbers::pi * tau / static_cast<double>(cutoff_)));
    return gate * std::exp(-decay_ * tau);
  }

 private:
  std::int64_t cutoff_;
  double decay_;
};

}  // namespace

Policy cgad(const PolicyOptions& options) { return std::make_unique<Cgad>(*options.bound, *options.factor); }

}  // namespace apam::exchange::policies
