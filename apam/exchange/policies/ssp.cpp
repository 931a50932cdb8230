// Stale synchronous parallel (Ho et al., NIPS 2013): a worker that is more than R gradients ahead of the slowest waits. R = 0
// is lock-step.
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Ssp final : public StalenessPolicy {
 public:
  explicit Ssp(std::int64_t window) : window_(window) {}
  std::optional<std::int64_t> most_ahead() const override { return window_; }

 private:
  std::int64_t window_;
};

}  // namespace

Policy ssp(const PolicyOptions& options) { return std::make_unique<Ssp>(*options.bound); }

}  // namespace apam::exchange::policies
