// Decides when a training is saved for --resume, and saves it.
#pragma once

#include <optional>

#include "apam/exchange/observer.h"
#include "apam/training/checkpoint.h"
#include "apam/training/progress.h"
#include "apam/training/run_folder.h"

namespace apam::training {

class CheckpointWriter {
 public:
  static constexpr double kSeconds = 600;  ///< between two checkpoints, unless --checkpoint-every says otherwise

  /// `every`: updates, nothing: kSeconds, 0: never. `first`: what all checkpoints of the run have in common; its `update` is
  /// the version that the run begins with, its `copied_bytes` those before. All must outlive this.
  CheckpointWriter(std::optional<std::int64_t> every, Checkpoint first, const engine::Updater& updater, RunFolder& folder,
                   Progress& progress);

  /// Also at the end of a run that has updates left, unless the model diverged.
  bool due(const exchange::RestPoint& point) const;

  /// `metrics`: of training_metrics.h at that point. If the file cannot be written, the last one stays, and a line says so.
  void write(const exchange::RestPoint& point, Json metrics);

 private:
  std::optional<std::int64_t> every_;
  Checkpoint next_;
  std::int64_t copied_before_;
  const engine::Updater& updater_;
  RunFolder& folder_;
  Progress& progress_;
  double last_at_ = 0;
};

}  // namespace apam::training
