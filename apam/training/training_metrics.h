// Observes a training from inside the exchange: writes metrics.jsonl and epochs.csv, shows progress, submits evaluations, and
// sums up.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apam/exchange/epochs.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/roles.h"
#include "apam/exchange/staleness.h"
#include "apam/training/checkpoint_writer.h"
#include "apam/training/epoch_table.h"
#include "apam/training/evaluator.h"
#include "apam/training/progress.h"
#include "apam/training/run_folder.h"
#include "apam/training/run_summary.h"
#include "apam/training/update_sums.h"

namespace apam::training {

class TrainingMetrics : public exchange::Observer {
 public:
  struct Options {
    exchange::Epochs epochs{};
    std::int64_t total_updates = 1;
    exchange::Roles roles{.masters = 0};
    std::int64_t log_every = 10;  ///< updates per training line
    bool delayed = false;         ///< artificial delay: gradients of one worker are stale too
    bool computes_ahead = false;  ///< lines have the publish lag
    bool records_order = false;   ///< writes order.jsonl
  };
  /// All must outlive this, and what it is given later. It has no clock: seconds are those of the events, minus the duration of
  /// inline evaluations.
  TrainingMetrics(const Options& options, Evaluator& evaluator, RunFolder& folder, Progress& progress);

  void on_events(std::span<const exchange::Event> events) override;
  void on_update(const exchange::UpdateRecord& record) override;
  void on_snapshot(const exchange::StateSnapshot& snapshot) override;
  void on_rest(const exchange::RestPoint& point) override;
  void on_departure(const exchange::Departure& departure, double at) override;

  /// Before training: saves it from now on.
  void save_to(CheckpointWriter& checkpoints) { checkpoints_ = &checkpoints; }
  /// Before training: continues with the metrics of a checkpoint. Evaluates `state` if the checkpoint has no evaluation of it,
  /// but should. Throws InputError for metrics that are malformed.
  void resume(const Checkpoint& checkpoint, ConstSpan<float> state);

  /// Why lines are missing in the run folder: "write: ...: No space left on device"; empty if none are. Training continues,
  /// for the weights are worth more.
  const std::string& failure() const { return failure_; }

  /// The ranks of workers that have left, in order.
  std::span<const int> departed_ranks() const { return departed_ranks_; }

  /// After training: waits for evaluations and writes the last lines.
  void finish();

  /// The part of the summary that updates and evaluations determine.
  RunSummary summary() const;

 private:
  double training_seconds(double at) const { return seconds_before_ + at - evaluator_.seconds_blocked(); }
  double epoch(std::int64_t update) const { return options_.epochs.at(update); }
  void end_line();
  void write_order();
  Json state() const;
  void add_metrics(const Json& line);
  /// Calls `write`, unless a call has failed before.
  template <class Write>
  void write_or_note(const Write& write);
  void log_evaluations();
  void show(std::int64_t update, double at);

  Options options_;
  Evaluator& evaluator_;
  RunFolder& folder_;
  Progress& progress_;

  CheckpointWriter* checkpoints_ = nullptr;
  std::string failure_;

  double seconds_before_ = 0;         // of training, before it was continued
  std::int64_t departed_before_ = 0;  // workers, then
  std::int64_t update_ = 0;
  double last_update_at_ = 0, last_rate_ = 0;
  std::int64_t submitted_ = -1, evaluated_ = -1;  // the latest update
  exchange::Staleness staleness_;
  UpdateSums line_;                                   // since the last training line
  UpdateSums recent_;                                 // since the last progress line
  UpdateSums steady_;                                 // since the first update of each worker
  std::string order_;                                 // lines that are not written yet
  std::vector<int> arrivals_;                         // workers of the updates since the last training line
  std::vector<int> places_;                           // of these updates in their passes
  std::vector<std::vector<int>> ranks_;               // of these updates, with backup ranks
  std::vector<exchange::GradientHeader> last_epoch_;  // ring of the headers of the updates of the last epoch
  std::vector<int> departed_ranks_;
  std::optional<Evaluation> last_evaluation_;
  EpochTable epochs_;
};

}  // namespace apam::training
