// Everything that the process which owns the result of a training keeps around it: run folder, progress, evaluations, monitor.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "apam/cli/commands.h"
#include "apam/training/run_plan.h"
#include "apam/training/run_config.h"
#include "apam/training/training_metrics.h"

namespace apam::training {

class Recorder {
 public:
  using MakeEvaluations = std::function<std::unique_ptr<Evaluations>()>;

  /// Takes the run folder, throws InputError when it cannot, and then makes the evaluations. What an older run left in the
  /// folder is replaced when training has made its first update. `options` and `plan` must outlive the recorder.
  Recorder(const TrainOptions& options, const Plan& plan, const CommandLine& command, const MakeEvaluations& make_evaluations);

  TrainingMonitor& monitor() { return *monitor_; }
  Evaluations& evaluations() { return *evaluations_; }

  /// Writes the model; `batches_before` are behind its statistics from before this training. A run that was interrupted before
  /// its first update has nothing to write, here and in close(): it leaves no folder, or an older run's as it was.
  void save(const engine::ParameterArena& arena, std::int64_t batches_before, const exchange::Ending& ending);

  struct End {
    std::string_view transport;
    std::vector<ProcessReport> processes;  ///< by rank
    RunEnding ending;
  };
  /// Writes the summary and tells the user.
  void close(const engine::ParameterArena& arena, End end);

 private:
  bool has_result(const exchange::Ending& ending) const;

  const TrainOptions& options_;
  const Plan& plan_;
  RunFolder folder_;
  std::unique_ptr<Evaluations> evaluations_;
  Progress progress_;
  std::unique_ptr<TrainingMonitor> monitor_;
};

}  // namespace apam::training
