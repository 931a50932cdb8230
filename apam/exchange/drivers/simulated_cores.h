// Cores in virtual time: n threads share C cores evenly. While n <= C a job takes the time of its work; above, n / C times as
// long (processor sharing, as by a fair scheduler). So in no interval is more work done than C times its length. A job of
// several threads has equal parts, which begin and end together.
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
    int threads = 1;
    friend bool operator<(const Job& a, const Job& b) {
      return std::tuple(a.end, a.what, a.order) < std::tuple(b.end, b.what, b.order);
    }
  };

  /// cores = 0: as many as there are threads.
  explicit SimulatedCores(int cores) : cores_(cores) {}

  /// At `now` a job begins that ends at `end` if each thread has a core of its own. Times never decrease from call to call.
  void start(double now, double end, Job::What what, int worker = -1, int threads = 1) {
    threads_ += threads;
    share(now);
    jobs_.push_back({slowdown_ == 1 ? end : now + (end - now) * slowdown_, what, order_++, worker, threads});
  }

  /// A thread that waits busily, which keeps a core from the others.
  void spin(double now, bool spins) {
    if (std::exchange(spins_, spins) == spins) return;
    threads_ += spins ? 1 : -1;
    share(now);
  }

  /// The job that ends next, or null.
  const Job* next() const { return jobs_.empty() ? nullptr : &*std::min_element(jobs_.begin(), jobs_.end()); }

  /// Ends next().
  Job finish() {
    const auto first = std::min_element(jobs_.begin(), jobs_.end());
    const Job job = *first;
    jobs_.erase(first);
    threads_ -= job.threads;
    share(job.end);
    return job;
  }

 private:
  // From `now` on the jobs have the speed of this number of threads. Without a change no time is rounded.
  void share(double now) {
    const double slowdown = cores_ > 0 && threads_ > cores_ ? static_cast<double>(threads_) / cores_ : 1;
    if (slowdown == slowdown_) return;
    for (Job& job : jobs_) job.end = now + (job.end - now) * (slowdown / slowdown_);
    slowdown_ = slowdown;
  }

  int cores_;
  int threads_ = 0;  // of all jobs, and the one that waits busily
  bool spins_ = false;
  double slowdown_ = 1;
  std::int64_t order_ = 0;
  std::vector<Job> jobs_;
};

}  // namespace apam::exchange
