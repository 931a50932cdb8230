// Watches a training from inside the exchange: metrics, progress, evaluations, and at the end what came out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "apam/training/evaluator.h"
#include "apam/exchange/observer.h"
#include "apam/cli/terminal_progress.h"
#include "apam/training/run_folder.h"
#include "apam/exchange/staleness.h"

namespace apam::training {

/// Sums over updates, for means.
struct Window {
  double loss_sum = 0;
  std::int64_t rows = 0, top1 = 0, updates = 0, staleness_sum = 0, staleness_max = 0;
  double begin = 0;  ///< seconds of training

  void add(const exchange::UpdateRecord& record);
  double loss() const { return loss_sum / static_cast<double>(rows); }
  double accuracy() const { return static_cast<double>(top1) / static_cast<double>(rows); }
  double staleness() const { return updates == 0 ? 0 : static_cast<double>(staleness_sum) / static_cast<double>(updates); }
  double images_per_second(double now) const { return now > begin ? static_cast<double>(rows) / (now - begin) : 0; }
};

class TrainingMonitor : public exchange::Observer {
 public:
  struct Options {
    std::int64_t updates_per_epoch = 1;
    std::int64_t total_updates = 1;
    int workers = 1;              ///< gradients that may be under way at once
    std::int64_t log_every = 10;  ///< updates a training line
  };
  /// All must outlive the monitor. It has no clock: seconds are those of the events, less what evaluations on the spot took.
  TrainingMonitor(const Options& options, Evaluations& evaluations, RunFolder& folder, Progress& progress);

  void on_update(const exchange::UpdateRecord& record) override;
  void on_snapshot(std::int64_t update, double at, In state) override;

  /// Training has ended: waits for evaluations and writes the last lines.
  void finish();

  struct Outcome {
    std::int64_t updates = 0;
    double seconds = 0;                         ///< of training: without evaluations on the spot
    double images_per_second = 0;               ///< after the first update of each worker, which also warms up
    double train_loss = 0, train_accuracy = 0;  ///< means over the last epoch, or all updates if there were fewer
    std::optional<Evaluation> last_evaluation;  ///< whose loss is finite
  };
  Outcome outcome() const;
  const exchange::Staleness& staleness() const { return staleness_; }

 private:
  double training_seconds(double at) const { return at - evaluations_.seconds_blocked(); }
  double epoch(std::int64_t update) const;
  void log_window(std::int64_t update, double at);
  void log_evaluations();
  void show(std::int64_t update, double at);

  Options options_;
  Evaluations& evaluations_;
  RunFolder& folder_;
  Progress& progress_;

  std::int64_t update_ = 0;
  double last_update_at_ = 0;
  exchange::Staleness staleness_;
  Window line_;                                       // since the last training line
  Window recent_;                                     // since the last progress line
  Window steady_;                                     // since the first update of each worker
  std::vector<int> arrivals_;                         // workers of the updates since the last training line
  std::vector<exchange::GradientHeader> last_epoch_;  // ring of the last updates_per_epoch headers
  std::optional<Evaluation> last_evaluation_;
};

}  // namespace apam::training
