// Delay compensation (DC-ASGD, arXiv 1609.08326): the first-order correction of a gradient for the weights that have changed
// since, with the diagonal of g g' in place of the Hessian:  g + C g g (w_now - w_base).
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Compensated final : public StalenessPolicy {
 public:
  explicit Compensated(double factor) : factor_(factor) {}
  bool changes_gradients() const override { return true; }
  double compensation() const override { return factor_; }

 private:
  double factor_;
};

}  // namespace

Policy compensated(const PolicyOptions& options) { return std::make_unique<Compensated>(*options.factor); }

}  // namespace apam::exchange::policies
