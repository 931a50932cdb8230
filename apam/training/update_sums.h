// Sums over updates, for means.
#pragma once

#include <algorithm>
#include <cstdint>

#include "apam/exchange/observer.h"

namespace apam::training {

struct UpdateSums {
  double loss_sum = 0;
  std::int64_t rows = 0, top1 = 0, top5 = 0, updates = 0, staleness_sum = 0, staleness_max = 0;
  std::int64_t lag_sum = 0, lag_max = 0;  ///< publish lags
  double begin = 0;                       ///< seconds of training

  void add(const exchange::UpdateRecord& record) {
    loss_sum += record.header.loss_sum;
    rows += record.header.rows;
    top1 += record.header.top1;
    top5 += record.header.top5;
    ++updates;
    staleness_sum += record.staleness;
    staleness_max = std::max(staleness_max, record.staleness);
    lag_sum += record.publish_lag;
    lag_max = std::max(lag_max, record.publish_lag);
  }

  double loss() const { return loss_sum / static_cast<double>(rows); }
  double accuracy() const { return static_cast<double>(top1) / static_cast<double>(rows); }
  double top5_accuracy() const { return static_cast<double>(top5) / static_cast<double>(rows); }
  double staleness() const { return updates == 0 ? 0 : static_cast<double>(staleness_sum) / static_cast<double>(updates); }
  double publish_lag() const { return updates == 0 ? 0 : static_cast<double>(lag_sum) / static_cast<double>(updates); }
  double images_per_second(double now) const { return now > begin ? static_cast<double>(rows) / (now - begin) : 0; }
};

}  // namespace apam::training
