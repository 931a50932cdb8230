// Equal weight for every worker: the step of a gradient grows with the updates since its worker's last one,
//   learning rate * gap / N,    gap = u - (its worker's update before),    N workers that have not left; 1 for its first
//   gradient
// The gaps of a worker telescope: over a run of T updates their sum is the number of its last update less that of its first, so
// that every worker has the weight T / N, at any speed, to within one gap. Without it a worker that is twice as fast has
// twice the weight, and so have the images that only it has. With workers that take turns each gap is N, and nothing changes.
// A slow worker takes longer steps: at 1/k of the mean speed, k times the learning rate. The moments of an optimizer see the
// gradients unchanged.
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Rescaled final : public StalenessPolicy {
 public:
  double step_factor(const Arrival& arrival) const override {
    return arrival.gap ? static_cast<double>(*arrival.gap) / arrival.workers : 1.0;
  }
};

}  // namespace

Policy rescaled(const PolicyOptions& /*options*/) { return std::make_unique<Rescaled>(); }

}  // namespace apam::exchange::policies
