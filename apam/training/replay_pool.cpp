#include "apam/training/replay_pool.h"

#include <algorithm>
#include <set>
#include <utility>

#include "apam/training/kernel_choice.h"
#include "kernels/runtime/dtype.h"
#include "kernels/runtime/start_thread.h"

namespace apam::training {
namespace {

/// As values that have travelled in bfloat16.
void round_to_bfloat16(Span<float> values) {
  for (float& value : values.host()) value = BFloat16(value);
}

}  // namespace

ReplayPool::Computer::Computer(const RunPlan& plan, const RecordedRun& run, int threads)
    : exec([&] {
        ExecOptions options = plan.exec;
        options.threads = threads;
        return options;
      }()),
      arena(exec.device(), plan.net->layout()),
      source((exec.adopt(run.kernels(exec.device(), threads)), exec), *plan.net, arena, plan.train,
             {.threads = run.options.loader_threads}) {}

ReplayPool::ReplayPool(const RunPlan& plan, const RecordedRun& run, const std::vector<std::vector<int>>& threads, int jobs)
    : rounds_(run.options.wire != "float32"), computers_(static_cast<std::size_t>(jobs)) {
  std::set<int> numbers;
  for (const std::vector<int>& of_workers : threads) numbers.insert(of_workers.begin(), of_workers.end());
  for (Computers& computers : computers_) {
    for (const int number : numbers) {
      auto& computer = computers[number] = std::make_unique<Computer>(plan, run, number);
      // What the record does not name is timed once.
      const Computers& first = computers_.front();
      if (&computers != &first) computer->exec.adopt(first.at(number)->exec.decisions());
      choose_kernels({.exec = computer->exec, .source = &computer->source, .rows = batch_sizes(*plan.train, 0, 1)}, [] {});
    }
  }
  for (const Computers& computers : computers_) {
    const int number = static_cast<int>(threads_.size()) + 1;
    threads_.push_back(start_thread("replay", number, jobs, [this, &computers] { compute_all(computers); }));
  }
}

ReplayPool::~ReplayPool() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
}

void ReplayPool::start(std::vector<int> threads_of_worker, const engine::Updater& updater) {
  updater_ = &updater;
  release();
  std::unique_lock lock(mutex_);
  queue_.clear();
  changed_.wait(lock, [&] { return computing_ == 0; });
  of_worker_.assign(threads_of_worker.size(), {});
  threads_of_worker_ = std::move(threads_of_worker);
}

void ReplayPool::begin(int worker, std::int64_t batch, const exchange::VersionRef& weights) {
  updater_->synchronize();  // the weights are there
  const auto index = static_cast<std::size_t>(worker);
  auto job = std::make_shared<Job>();
  job->threads = threads_of_worker_.at(index);
  job->batch = batch;
  job->weights = weights;
  {
    const std::lock_guard lock(mutex_);
    of_worker_.at(index).push_back(job);
    queue_.push_back(std::move(job));
  }
  changed_.notify_all();
}

exchange::ReplayedGradients::Gradient ReplayPool::take(int worker) {
  std::unique_lock lock(mutex_);
  auto& begun = of_worker_.at(static_cast<std::size_t>(worker));
  const SharedJob job = std::move(begun.front());
  begun.pop_front();
  changed_.wait(lock, [&] { return job->done; });
  if (job->error) std::rethrow_exception(job->error);
  taken_.push_back(job);
  return {job->header, job->contribution.as<float>()};
}

void ReplayPool::give_up(int worker) {
  const std::lock_guard lock(mutex_);
  auto& begun = of_worker_.at(static_cast<std::size_t>(worker));
  std::erase(queue_, begun.front());  // not if it is being computed
  begun.pop_front();
}

void ReplayPool::release() {
  if (taken_.empty()) return;
  updater_->synchronize();  // they have been read
  const std::lock_guard lock(mutex_);
  for (const SharedJob& job : taken_) unused_.push_back(std::move(job->contribution));
  taken_.clear();
}

/// (state) of the device.
Buffer ReplayPool::contribution_of(const engine::ParameterArena& arena) {
  {
    const std::lock_guard lock(mutex_);
    if (!unused_.empty()) {
      Buffer last = std::move(unused_.back());
      unused_.pop_back();
      return last;
    }
  }
  return {arena.device(), arena.outgoing().size_bytes()};
}

void ReplayPool::compute_all(const Computers& computers) {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ends_ || !queue_.empty(); });
    if (ends_) return;
    const SharedJob job = std::move(queue_.front());
    queue_.pop_front();
    ++computing_;
    lock.unlock();
    try {
      compute(*job, *computers.at(job->threads));
    } catch (...) {
      job->error = std::current_exception();
    }
    job->weights = {};
    lock.lock();
    job->done = true;
    --computing_;
    changed_.notify_all();
  }
}

void ReplayPool::compute(Job& job, Computer& computer) {
  const engine::ParameterArena& arena = computer.arena;
  copy(job.weights.weights(), arena.weights());
  job.weights = {};
  if (rounds_) round_to_bfloat16(arena.weights());
  arena.rounded().outdate();
  job.header = computer.source.compute({job.batch});
  computer.exec.synchronize();
  job.contribution = contribution_of(arena);
  const Span<float> contribution = job.contribution.as<float>();
  copy(arena.outgoing(), contribution);
  if (rounds_) round_to_bfloat16(contribution.subspan(0, arena.weights().size()));  // batch statistics are exact
}

}  // namespace apam::training
