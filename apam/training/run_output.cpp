#include "apam/training/run_output.h"

#include <utility>

#include "apam/training/run_config.h"
#include "nets/weight_file.h"

namespace apam::training {

RunOutput::RunOutput(const TrainOptions& options, const RunPlan& plan, const std::vector<std::string>& command,
                     Progress& progress, const MakeEvaluator& make_evaluator)
    : options_(options),
      plan_(plan),
      folder_(output_folder(options), existing_folder(options)),
      progress_(progress),
      evaluator_(make_evaluator()) {
  folder_.write_config(describe_config(options, plan, command));
  const TrainingMetrics::Options metrics{.epochs = plan.epochs,
                                         .total_updates = plan.schedule.total_updates,
                                         .roles = plan.budget.roles,
                                         .log_every = options.log_every,
                                         .delayed = plan.delayed};
  metrics_ = std::make_unique<TrainingMetrics>(metrics, *evaluator_, folder_, progress_);
  for (const auto& warning : plan.warnings) progress_.note("apam: warning: " + warning);
  progress_.note(describe_start(options, plan));
}

bool RunOutput::has_result(const exchange::Ending& ending) const {
  return metrics_->summary().updates > 0 || ending.why != exchange::Ending::Why::interrupted;
}

void RunOutput::save(const engine::ParameterArena& arena, std::int64_t batches_before, const exchange::Ending& ending) {
  if (!has_result(ending)) return;
  folder_.start();
  batches_before_ = batches_before;
  nets::save_weights(folder_.model(), arena, batches_before + metrics_->summary().updates);
}

// The model is then the one that was evaluated.
void RunOutput::save_calibrated(const engine::ParameterArena& arena, const RunSummary& summary) {
  const Evaluation* const last = summary.final_evaluation();
  if (last == nullptr || last->scores.statistics.empty()) return;
  copy(ConstSpan<float>(std::span<const float>(last->scores.statistics)), arena.running_statistics());
  nets::save_weights(folder_.model(), arena, batches_before_ + summary.updates);
}

std::string RunOutput::close(const engine::ParameterArena& arena, ExchangeResult result, std::vector<ProcessReport> processes) {
  progress_.close();
  if (!has_result(result.ending)) {
    progress_.note(fmt::format("apam: interrupted by signal {} before the first update", result.ending.signal));
    return {};
  }
  RunSummary summary = metrics_->summary();
  save_calibrated(arena, summary);
  summary.exchange = std::move(result);
  summary.sha256 = nets::sha256_of(arena);
  summary.processes = std::move(processes);
  if (const auto& divergence = summary.exchange.divergence) {
    progress_.note("apam: " + describe(*divergence, options_.keep_going));
  }
  folder_.write_summary(describe_summary(summary, options_, plan_));
  return describe(summary, plan_, folder_.path());
}

}  // namespace apam::training
