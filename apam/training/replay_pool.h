// The gradients of a replay, several at a time. A thread takes what has begun first, whichever worker began it, and computes it
// with a model of its own, as many threads as the worker had, and the kernels of the run. The bits do not depend on the number
// of jobs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "apam/exchange/drivers/replay.h"
#include "apam/training/net_gradient_source.h"
#include "apam/training/recorded_run.h"
#include "apam/training/run_plan.h"
#include "engine/optim/updater.h"

namespace apam::training {

class ReplayPool final : public exchange::ReplayedGradients {
 public:
  /// Plan and run must outlive the pool. `threads`: of each worker, by start. `jobs` >= 1: gradients at a time.
  ReplayPool(const RunPlan& plan, const RecordedRun& run, const std::vector<std::vector<int>>& threads, int jobs);
  ~ReplayPool() override;
  ReplayPool(const ReplayPool&) = delete;
  ReplayPool& operator=(const ReplayPool&) = delete;

  /// From now on workers have so many threads, and gradients are applied by this updater. Waits for what is being computed, and
  /// drops all that has begun.
  void start(std::vector<int> threads_of_worker, const engine::Updater& updater);

  void begin(int worker, std::int64_t batch, const exchange::VersionRef& weights) override;
  Gradient take(int worker) override;
  void give_up(int worker) override;
  void release() override;

 private:
  /// What computes with one number of threads.
  struct Computer {
    Computer(const RunPlan& plan, const RecordedRun& run, int threads);

    Exec exec;
    engine::ParameterArena arena;
    NetGradientSource source;
  };
  using Computers = std::map<int, std::unique_ptr<Computer>>;  // by threads

  struct Job {
    int threads = 1;
    std::int64_t batch = 0;
    exchange::VersionRef weights;
    Buffer contribution;
    exchange::GradientHeader header;
    std::exception_ptr error{};
    bool done = false;
  };
  using SharedJob = std::shared_ptr<Job>;

  void compute_all(const Computers& computers);  // of the queue, until the end
  void compute(Job& job, Computer& computer);
  Buffer contribution_of(const engine::ParameterArena& arena);

  bool rounds_;  // values that travel are bfloat16
  std::vector<int> threads_of_worker_;
  const engine::Updater* updater_ = nullptr;
  std::vector<Computers> computers_;  // by job
  std::vector<SharedJob> taken_;

  std::mutex mutex_;  // guards the members below, and the jobs in them
  std::condition_variable changed_;
  std::vector<std::deque<SharedJob>> of_worker_;
  std::deque<SharedJob> queue_;
  std::vector<Buffer> unused_;
  int computing_ = 0;
  bool ends_ = false;

  std::vector<std::jthread> threads_;
};

}  // namespace apam::training
