// Ringmaster ASGD (arXiv 2501.16168, algorithm 5): a gradient is ignored once R updates have been made since its weights. Its
// computation is stopped at that moment, since nothing else can become of it.
#include "apam/exchange/policies/table.h"

namespace apam::exchange::policies {
namespace {

class Ringmaster final : public StalenessPolicy {
 public:
  explicit Ringmaster(std::int64_t bound) : bound_(bound) {}
  bool applies_all() const override { return false; }
  bool accepts(const Arrival& arrival) const override { return arrival.staleness < bound_; }
  std::optional<std::int64_t> cancels_at() const override { return bound_; }

 private:
  std::int64_t bound_;
};

}  // namespace

Policy ringmaster(const PolicyOptions& options) { return std::make_unique<Ringmaster>(*options.bound); }

}  // namespace apam::exchange::policies
