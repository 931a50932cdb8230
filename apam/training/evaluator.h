// Evaluation during training: inline, or in the background on its own thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "apam/exchange/drivers/trace.h"
#include "apam/exchange/observer.h"
#include "apam/training/evaluate.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::training {

struct Evaluation {
  std::int64_t update = 0;  ///< version of the weights
  double at = 0;            ///< seconds of training at which the weights were taken
  Scores scores;
  std::vector<std::int64_t> versions{};  ///< of the weights of each master, if it orders by itself; else empty
};

/// Used by one thread.
class Evaluator {
 public:
  virtual ~Evaluator() = default;

  enum class Need : std::uint8_t { optional, required };

  /// Queues an evaluation of the snapshot. A state without a version may change as soon as this returns. False if the queue is
  /// full and the evaluation is skipped.
  virtual bool submit(const exchange::StateSnapshot& snapshot, Need need) = 0;

  /// Evaluations finished since the last call, in order of submission. Throws the exception of an evaluation that failed.
  virtual std::vector<Evaluation> collect() = 0;

  /// Waits until all are finished; collect() then returns the last ones. Abandoned evaluations are missing.
  virtual void finish() = 0;

  /// Abandons unfinished evaluations; finish() then waits for at most one batch.
  virtual void give_up() = 0;

  /// Total seconds that submit() has spent on scoring.
  virtual double seconds_blocked() const = 0;

  /// Kernels used; complete after finish().
  virtual std::vector<KernelReport> kernels() const = 0;
};

/// Scores inside submit(), with the kernels and threads of the training.
class InlineEvaluator : public Evaluator {
 public:
  /// All must outlive this.
  InlineEvaluator(Exec& exec, const nets::Net& net, const EvaluationImages& images, GiveUp give_up,
                  exchange::TraceTrack* track = nullptr);

  bool submit(const exchange::StateSnapshot& snapshot, Need need) override;
  std::vector<Evaluation> collect() override { return std::exchange(finished_, {}); }
  void finish() override {}
  void give_up() override {}
  double seconds_blocked() const override { return blocked_; }
  std::vector<KernelReport> kernels() const override { return {}; }  // the training's Exec has them

 private:
  Scorer scorer_;
  GiveUp give_up_;
  exchange::TraceTrack* track_;
  std::vector<Evaluation> finished_;
  double blocked_ = 0;
};

/// Scores on a thread of low priority: versions in place, and copies of states that have no version. At most kQueueLimit
/// snapshots are held, plus one for a required evaluation. After finish() has been called, training no longer needs the cores,
/// and scoring uses `final_threads`.
class BackgroundEvaluator : public Evaluator {
 public:
  static constexpr std::size_t kQueueLimit = 4;
  static constexpr int kMostVersions = kQueueLimit + 1;  ///< held during a training, with one required evaluation at its end

  struct Options {
    ExecOptions exec;                       ///< during training
    int final_threads = 1;                  ///< after training
    KernelDecisions decisions{};            ///< for `auto` to adopt
    GiveUp give_up = [] { return false; };  ///< called by the evaluation thread
    exchange::TraceTrack* track = nullptr;  ///< of the evaluation thread; null: nothing is recorded
  };

  /// `net` must outlive this. Returns once kernels are chosen, so their timing does not overlap with training.
  BackgroundEvaluator(Options options, const nets::Net& net, EvaluationImages images);
  /// Abandons unfinished evaluations; waits for at most one batch.
  ~BackgroundEvaluator() override;
  BackgroundEvaluator(const BackgroundEvaluator&) = delete;
  BackgroundEvaluator& operator=(const BackgroundEvaluator&) = delete;

  bool submit(const exchange::StateSnapshot& snapshot, Need need) override;
  std::vector<Evaluation> collect() override;
  void finish() override;
  void give_up() override { abandoned_ = true; }
  double seconds_blocked() const override { return 0; }
  std::vector<KernelReport> kernels() const override;

 private:
  struct Held {
    exchange::StateSnapshot snapshot;
    Buffer copy;  // of a state without a version
  };
  enum class Phase : std::uint8_t { starting, training, finishing, closing };

  void serve();
  void serve_with(int threads);
  bool abandons() const { return abandoned_ || options_.give_up(); }

  Options options_;
  const nets::Net& net_;
  EvaluationImages images_;

  mutable std::mutex mutex_;  // guards the members below
  std::condition_variable changed_;
  Phase phase_ = Phase::starting;
  std::deque<Held> queue_;
  bool busy_ = false;
  std::vector<Buffer> spare_;
  std::vector<Evaluation> finished_;
  std::vector<KernelReport> kernels_;
  std::exception_ptr error_;
  std::atomic<bool> abandoned_ = false;  // read without the mutex, between two batches

  std::jthread thread_;  // last: it must end before the other members are destroyed
};

}  // namespace apam::training
