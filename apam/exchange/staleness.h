// The staleness tau of every update: the number of updates between the weights that its gradient was computed on and itself
// (APAM, section 2). With N workers and one gradient in flight per worker, tau + 1 summed over a worker's updates telescopes
// to the number of its last update, so the mean over a long run is N - 1 at any speeds of the workers.
//
// The publish lag is the part of tau that computing ahead adds: the version last sent to the worker before its gradient
// arrived, minus the one that the gradient was computed on. N on average if workers compute ahead, so that tau is 2 N - 1; 0
// otherwise.
#pragma once

#include <cstdint>
#include <vector>

namespace apam::exchange {

class Staleness {
 public:
  explicit Staleness(int workers) : by_worker_(static_cast<std::size_t>(workers)) {}

  /// What has been recorded so far, for a training that is continued, possibly by another number of workers.
  struct Sums {
    std::vector<std::int64_t> histogram, by_worker;
    std::int64_t lag_sum = 0, most_lag = 0;
  };
  Sums sums() const { return {histogram_, by_worker_, lag_sum_, most_lag_}; }
  void resume(const Sums& sums);

  void record(int worker, std::int64_t tau, std::int64_t publish_lag = 0);

  std::int64_t updates() const { return updates_; }
  double mean() const;  ///< 0 before the first update
  std::int64_t max() const { return static_cast<std::int64_t>(histogram_.size()) - (histogram_.empty() ? 0 : 1); }
  const std::vector<std::int64_t>& histogram() const { return histogram_; }  ///< [tau] number of updates, up to max()
  const std::vector<std::int64_t>& by_worker() const { return by_worker_; }  ///< [worker] number of updates

  double mean_publish_lag() const;  ///< 0 before the first update
  std::int64_t max_publish_lag() const { return most_lag_; }

 private:
  std::int64_t updates_ = 0;
  std::int64_t sum_ = 0, lag_sum_ = 0, most_lag_ = 0;
  std::vector<std::int64_t> histogram_;
  std::vector<std::int64_t> by_worker_;
};

}  // namespace apam::exchange
