#include "apam/exchange/staleness.h"

#include <algorithm>

namespace apam::exchange {

void Staleness::resume(const Sums& sums) {
  histogram_ = sums.histogram;
  by_worker_.resize(std::max(by_worker_.size(), sums.by_worker.size()));
  std::ranges::copy(sums.by_worker, by_worker_.begin());
  lag_sum_ = sums.lag_sum;
  most_lag_ = sums.most_lag;
  updates_ = sum_ = 0;
  for (std::size_t tau = 0; tau < histogram_.size(); ++tau) {
    updates_ += histogram_[tau];
    sum_ += static_cast<std::int64_t>(tau) * histogram_[tau];
  }
}

void Staleness::record(int worker, std::int64_t tau, std::int64_t publish_lag) {
  const auto bin = static_cast<std::size_t>(tau);
  if (bin >= histogram_.size()) histogram_.resize(bin + 1);
  ++histogram_[bin];
  ++by_worker_.at(static_cast<std::size_t>(worker));
  ++updates_;
  sum_ += tau;
  lag_sum_ += publish_lag;
  most_lag_ = std::max(most_lag_, publish_lag);
}

double Staleness::mean() const { return updates_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(updates_); }

double Staleness::mean_publish_lag() const {
  return updates_ == 0 ? 0.0 : static_cast<double>(lag_sum_) / static_cast<double>(updates_);
}

}  // namespace apam::exchange
