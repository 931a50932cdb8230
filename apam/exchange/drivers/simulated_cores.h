// Cores in virtual time: n jobs, each of one thread, share C cores evenly. While n <= C a job takes the time of its work;
// above, n / C times as long (processor sharing, as by a fair scheduler). So in no interval is more work done than C times its
// length.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

namespace apam::exchange {

class SimulatedCores {
 public:
  struct Job {
    enum class What : std::uint8_t {
      gradient,  // moves to the master
      weights,   // move to the worker
      fetch,     // the worker receives them
      master,    // a pass, or a reply: ends after the others of the same time
    };
    double end = 0;
    What what = What::gradient;
    std::int64_t order = 0;
    int worker = 0;
    friend bool operator<(const Job& a, const Job& b) {
      return std::tuple(a.end, a.what, a.order) < std::tuple(b.end, b.what, b.order);
    }
  };

  /// cores = 0: as many as there are jobs.
  explicit SimulatedCores(int cores) : cores_(cores) {}

  /// At `now` a job begins that ends at `end` if it has a core of its own. Times never decrease from call to call.
  void start(double now, double end, Job::What what, int worker = -1) {
    share(now, 1);
    jobs_.push_back({slowdown_ == 1 ? end : now + (end - now) * slowdown_, what, order_++, worker});
  }

  /// A thread that waits busily, which keeps a core from the others.
  void spin(double now, bool spins) {
    if (std::exchange(spins_, spins) != spins) share(now, 0);
  }

  /// The job that ends next, or null.
  const Job* next() const { return jobs_.empty() ? nullptr : &*std::min_element(jobs_.begin(), jobs_.end()); }

  /// Ends next().
  Job finish() {
    const auto first = std::min_element(jobs_.begin(), jobs_.end());
    const Job job = *first;
    jobs_.erase(first);
    share(job.end, 0);
    return job;
  }

 private:
  // From `now` on the jobs, and `more` that begin, have another speed. Without a change no time is rounded.
  void share(double now, std::size_t more) {
    const std::size_t runnable = jobs_.size() + more + (spins_ ? 1 : 0);
    const auto cores = static_cast<std::size_t>(cores_);
    const double slowdown = cores > 0 && runnable > cores ? static_cast<double>(runnable) / static_cast<double>(cores) : 1;
    if (slowdown == slowdown_) return;
    for (Job& job : jobs_) job.end = now + (job.end - now) * (slowdown / slowdown_);
    slowdown_ = slowdown;
  }

  int cores_;
  bool spins_ = false;
  double slowdown_ = 1;
  std::int64_t order_ = 0;
  std::vector<Job> jobs_;
};

}  // namespace apam::exchange
