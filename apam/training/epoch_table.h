// The rows of epochs.csv, one per epoch:
//
//   epoch, update, seconds, lr          at its last update
//   train_loss, train_accuracy, ...     means over its updates
//   test_loss, test_accuracy, ...       the evaluation at its last update; empty if there is none
//   staleness_mean, staleness_max       of its updates
//
// A run that ends within an epoch has a row for the part, whose epoch is a fraction. A row is written once its evaluation is
// known, so rows stay in order although evaluations run in the background.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "apam/exchange/epochs.h"
#include "apam/training/evaluator.h"
#include "apam/training/run_folder.h"
#include "apam/training/update_sums.h"

namespace apam::training {

class EpochTable {
 public:
  /// The folder must outlive the table.
  EpochTable(const exchange::Epochs& epochs, std::int64_t total_updates, RunFolder& folder)
      : epochs_(epochs), total_updates_(total_updates), folder_(folder) {}

  /// An update, at `seconds` of training. Evaluations of the update before it can no longer be announced.
  void add(const exchange::UpdateRecord& record, double seconds);

  /// The last update is being evaluated.
  void announce_evaluation() { announced_ = true; }
  void add(const Evaluation& evaluation);

  /// After training: writes all rows. Evaluations that were abandoned stay empty.
  void finish();

  /// For a checkpoint, and back: then an evaluation of update `evaluated` may still be added, of no earlier one.
  Json state() const;
  void resume(const Json& state, std::int64_t evaluated);

 private:
  struct Row {
    std::int64_t update = 0;
    double seconds = 0, rate = 0;
    UpdateSums sums{};
    std::optional<Scores> scores{};
    bool awaits = true;  // an evaluation that may still be announced, or is not finished
  };

  void write(const Row& row);
  void write_complete();  // the first rows that await nothing

  exchange::Epochs epochs_;
  std::int64_t total_updates_;
  RunFolder& folder_;
  Row open_;                // the epoch that is being trained
  std::deque<Row> ended_;   // epochs that are not written yet, in order
  bool announced_ = false;  // an evaluation of the last update
  bool has_header_ = false;
};

}  // namespace apam::training
