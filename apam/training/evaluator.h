// Evaluations during training: either on the spot, or on a thread of their own while training goes on.
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

#include "apam/training/evaluate.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::training {

/// What one evaluation said.
struct Evaluation {
  std::int64_t update = 0;  ///< version of the weights
  double at = 0;            ///< seconds of training at which the weights were taken
  Scores scores;
};

/// Called by one thread.
class Evaluations {
 public:
  virtual ~Evaluations() = default;

  enum class Need : std::uint8_t { may_be_left_out, must_be_done };

  /// Asks for an evaluation of `state`, [ weights | running statistics ], which may change when this returns. False when too
  /// many wait already and this one is left out.
  virtual bool submit(std::int64_t update, double at, In state, Need need) = 0;

  /// What has been finished since the last call, in order of submission. Throws what an evaluation threw.
  virtual std::vector<Evaluation> collect() = 0;

  /// Waits until all are finished; collect() then brings the last ones. Those that were given up are left out.
  virtual void finish() = 0;

  /// Gives up what has not been scored; finish() then waits for one batch at most.
  virtual void give_up() = 0;

  /// Seconds that submit() has spent scoring, in all.
  virtual double seconds_blocked() const = 0;

  /// Kernels used; complete after finish().
  virtual std::vector<KernelReport> kernels() const = 0;
};

/// Scores inside submit(), with the kernels and threads of the training itself.
class EvaluationsOnTheSpot : public Evaluations {
 public:
  /// All must outlive this. `give_up` is asked before every batch.
  EvaluationsOnTheSpot(Exec& exec, const nets::Net& net, std::shared_ptr<const data::Batches> batches, GiveUp give_up);

  bool submit(std::int64_t update, double at, In state, Need need) override;
  std::vector<Evaluation> collect() override { return std::exchange(finished_, {}); }
  void finish() override {}
  void give_up() override {}
  double seconds_blocked() const override { return blocked_; }
  std::vector<KernelReport> kernels() const override { return {}; }  // the training's Exec has them

 private:
  Scorer scorer_;
  GiveUp give_up_;
  std::vector<Evaluation> finished_;
  double blocked_ = 0;
};

/// Scores copies on one thread of low priority; submit() takes no longer than a copy. At most kMostWaiting copies exist,
/// and one more for an evaluation that must be done.
/// After finish() has been called there is no one left to disturb, and scoring uses `final_threads`.
class EvaluationsBeside : public Evaluations {
 public:
  static constexpr std::size_t kMostWaiting = 4;

  struct Options {
    ExecOptions exec;                       ///< while training goes on
    int final_threads = 1;                  ///< when it has ended
    KernelDecisions decisions{};            ///< that `auto` is to go by
    GiveUp give_up = [] { return false; };  ///< asked before every batch, by the thread that scores
  };

  /// `net` must outlive this. Returns when kernels have been chosen, so that the choice is not made beside the training.
  EvaluationsBeside(Options options, const nets::Net& net, std::shared_ptr<const data::Batches> batches);
  /// Gives up what has not been scored; waits for one batch at most.
  ~EvaluationsBeside() override;
  EvaluationsBeside(const EvaluationsBeside&) = delete;
  EvaluationsBeside& operator=(const EvaluationsBeside&) = delete;

  bool submit(std::int64_t update, double at, In state, Need need) override;
  std::vector<Evaluation> collect() override;
  void finish() override;
  void give_up() override { given_up_ = true; }
  double seconds_blocked() const override { return 0; }
  std::vector<KernelReport> kernels() const override;

 private:
  struct Snapshot {
    std::int64_t update = 0;
    double at = 0;
    Buffer state;
  };
  enum class Phase : std::uint8_t { starting, training, finishing, closing };

  void serve();
  void serve_with(int threads);
  bool gives_up() const { return given_up_ || options_.give_up(); }

  Options options_;
  const nets::Net& net_;
  std::shared_ptr<const data::Batches> batches_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Phase phase_ = Phase::starting;
  std::deque<Snapshot> waiting_;
  bool busy_ = false;
  std::vector<Buffer> spare_;
  std::size_t copies_ = 0;  // made so far
  std::vector<Evaluation> finished_;
  std::vector<KernelReport> kernels_;
  std::exception_ptr error_;
  std::atomic<bool> given_up_ = false;  // read without the mutex, between two batches

  std::jthread thread_;  // last: it ends before anything above goes
};

}  // namespace apam::training
