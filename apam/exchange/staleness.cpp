#include "apam/exchange/staleness.h"

namespace apam::exchange {

void Staleness::record(int worker, std::int64_t tau) {
  const auto bin = static_cast<std::size_t>(tau);
  if (bin >= histogram_.size()) histogram_.resize(bin + 1);
  ++histogram_[bin];
  ++by_worker_.at(static_cast<std::size_t>(worker));
  ++updates_;
  sum_ += tau;
}

double Staleness::mean() const { return updates_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(updates_); }

}  // namespace apam::exchange
