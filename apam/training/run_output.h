// Everything that the process which owns the result of a training keeps for it: run folder, progress, evaluator and metrics.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apam/training/run_plan.h"
#include "apam/training/run_summary.h"
#include "apam/training/training_metrics.h"

namespace apam::training {

class RunOutput {
 public:
  using MakeEvaluator = std::function<std::unique_ptr<Evaluator>()>;

  /// Takes the run folder, or throws InputError; then makes the evaluator. Files of an older run stay until the first update.
  /// `options`, `plan`, which has the initial weights, and `progress` must outlive this. `command`: the program and its
  /// arguments. `saved`: the checkpoint that is continued, or null. Throws InputError too if the disk has no space for the
  /// model.
  RunOutput(const TrainOptions& options, const RunPlan& plan, const std::vector<std::string>& command, Progress& progress,
            const MakeEvaluator& make_evaluator, const Checkpoint* saved = nullptr);

  /// Before training: saves checkpoints of what `updater` trains, unless options or plan forbid it.
  void watch(const engine::Updater& updater);
  /// Before training: continues with the metrics of the checkpoint, whose state is `state`.
  void resume(const Checkpoint& saved, ConstSpan<float> state);

  TrainingMetrics& metrics() { return *metrics_; }
  Evaluator& evaluator() { return *evaluator_; }

  /// Writes the model. A complete run has no checkpoint any more. A run that was interrupted before
  /// its first update writes nothing, here and in close(): it leaves no folder, or an older run unchanged.
  void save(const engine::ParameterArena& arena, const exchange::Ending& ending);

  /// Writes the summary. With --bn recalibrate, if the final weights were evaluated, their statistics of batch norm first go to
  /// the arena and to the saved model. Returns the closing text, empty if there is no result. `processes`: by rank. If the
  /// summary cannot be written, a line says so.
  std::string close(const engine::ParameterArena& arena, ExchangeResult result, std::vector<ProcessReport> processes);

  /// That of the ending; 1 if a complete run could not write all of its files.
  int exit_code(const exchange::Ending& ending) const;

 private:
  bool has_result(const exchange::Ending& ending) const;
  void save_calibrated(const engine::ParameterArena& arena, const RunSummary& summary);

  const TrainOptions& options_;
  const RunPlan& plan_;
  RunFolder folder_;
  Progress& progress_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<TrainingMetrics> metrics_;
  std::unique_ptr<CheckpointWriter> checkpoints_;
  bool failed_ = false;             // to write the summary
  std::int64_t copied_before_ = 0;  // bytes, by earlier parts of a run that is continued
};

}  // namespace apam::training
