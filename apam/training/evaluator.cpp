#include "apam/training/evaluator.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "kernels/runtime/start_thread.h"

namespace apam::training {
namespace {

// The scheduler gives a thread of niceness 5 about a third of the time of a worker's thread.
constexpr int kNiceness = 5;

/// Of this thread and the threads it starts. If it fails, evaluation only disturbs training more.
void lower_priority() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness); }

std::optional<Scores> score(Scorer& scorer, const exchange::StateSnapshot& snapshot, const GiveUp& give_up,
                            exchange::TraceTrack* track) {
  exchange::TraceScope scope(track, exchange::TraceKind::evaluation);
  scope.event.version = snapshot.update;
  return scorer.score(snapshot.state, give_up);
}

}  // namespace

InlineEvaluator::InlineEvaluator(Exec& exec, const nets::Net& net, const EvaluationImages& images, GiveUp give_up,
                                 exchange::TraceTrack* track)
    : scorer_(exec, net, images), give_up_(std::move(give_up)), track_(track) {}

bool InlineEvaluator::submit(const exchange::StateSnapshot& snapshot, Need /*need*/) {
  const auto begin = std::chrono::steady_clock::now();
  const auto scores = score(scorer_, snapshot, give_up_, track_);
  blocked_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (scores) finished_.push_back({snapshot.update, snapshot.at, *scores, snapshot.versions});
  return true;
}

BackgroundEvaluator::BackgroundEvaluator(Options options, const nets::Net& net, EvaluationImages images)
    : options_(std::move(options)), net_(net), images_(std::move(images)) {
  thread_ = start_thread("evaluations", 1, 1, [this] { serve(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return phase_ != Phase::starting || error_; });
}

BackgroundEvaluator::~BackgroundEvaluator() {
  const std::lock_guard lock(mutex_);
  phase_ = Phase::closing;
  abandoned_ = true;
  changed_.notify_all();
}

bool BackgroundEvaluator::submit(const exchange::StateSnapshot& snapshot, Need need) {
  Held held{snapshot, {}};
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + (busy_ ? 1 : 0) >= kQueueLimit && need == Need::optional) return false;
    if (!snapshot.version && !spare_.empty()) {
      held.copy = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (!snapshot.version) {
    const ConstSpan<float> state = snapshot.state;
    if (held.copy.size_bytes() != state.size_bytes()) held.copy = Buffer(state.device(), state.size_bytes());
    copy(state, held.copy.as<float>());
    held.snapshot.state = held.copy.as<float>();
  }
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(held));
  changed_.notify_all();
  return true;
}

std::vector<Evaluation> BackgroundEvaluator::collect() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  return std::exchange(finished_, {});
}

void BackgroundEvaluator::finish() {
  std::unique_lock lock(mutex_);
  phase_ = Phase::finishing;
  changed_.notify_all();
  changed_.wait(lock, [&] { return (queue_.empty() && !busy_) || error_; });
}

std::vector<KernelReport> BackgroundEvaluator::kernels() const {
  const std::lock_guard lock(mutex_);
  return kernels_;
}

void BackgroundEvaluator::serve() {
  try {
    lower_priority();
    serve_with(options_.exec.threads);
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      more = phase_ == Phase::finishing;
    }
    if (more) serve_with(options_.final_threads);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

/// Scores the queue until the phase requires another number of threads, or the end.
void BackgroundEvaluator::serve_with(int threads) {
  ExecOptions exec_options = options_.exec;
  exec_options.threads = threads;
  Exec exec(exec_options);
  exec.adopt(options_.decisions);
  Scorer scorer(exec, net_, images_);
  std::unique_lock lock(mutex_);
  if (phase_ == Phase::starting) {
    lock.unlock();
    exec.tell_requests([this](const KernelRequest&) {
      require<KernelError>(!abandons(), "evaluation: abandoned before its kernels were chosen");
    });
    scorer.warm_up();
    exec.tell_requests({});
    lock.lock();
    phase_ = Phase::training;
    changed_.notify_all();
  }
  while (true) {
    const auto leave = [&] {
      return phase_ == Phase::closing || (phase_ == Phase::finishing && threads != options_.final_threads);
    };
    changed_.wait(lock, [&] { return !queue_.empty() || leave(); });
    if (leave()) return;
    Held held = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    const auto scores = score(
        scorer, held.snapshot, [this] { return abandons(); }, options_.track);
    held.snapshot.version = {};
    lock.lock();
    busy_ = false;
    if (scores) finished_.push_back({held.snapshot.update, held.snapshot.at, *scores, held.snapshot.versions});
    if (held.copy.size_bytes() > 0) spare_.push_back(std::move(held.copy));
    kernels_.insert(kernels_.end(), exec.report().begin(), exec.report().end());
    exec.report().clear();
    changed_.notify_all();
  }
}

}  // namespace apam::training
