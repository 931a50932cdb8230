#include "apam/training/run_output.h"

#include <fstream>
#include <utility>

#include "apam/training/run_config.h"
#include "nets/weight_file.h"

namespace apam::training {

namespace {

/// Beyond the model: its header, the summary and the last lines.
constexpr std::size_t kOtherFiles = std::size_t{1} << 20U;

/// The starts of a run that is continued: where each part ended, and when it had begun.
Json starts_before(const std::filesystem::path& folder, const Checkpoint& saved) {
  std::ifstream file(folder / "config.json");
  const Json config = Json::parse(file, nullptr, false);
  Json starts = Json::array();
  if (!config.is_object()) return starts;
  if (config.contains("resumed") && config["resumed"].is_array()) starts = config["resumed"];
  starts.push_back({{"started", config.value("started", Json())},
                    {"until_update", saved.update},
                    {"threads_by_rank", config.value("threads_by_rank", Json())}});
  return starts;
}

}  // namespace

RunOutput::RunOutput(const TrainOptions& options, const RunPlan& plan, const std::vector<std::string>& command,
                     Progress& progress, const MakeEvaluator& make_evaluator, const Checkpoint* saved)
    : options_(options),
      plan_(plan),
      folder_(output_folder(options), existing_folder(options)),
      progress_(progress),
      evaluator_(make_evaluator()) {
  Json config = describe_config(options, plan, command);
  config["resumed"] = saved != nullptr ? starts_before(folder_.path(), *saved) : Json::array();
  folder_.write_config(config);
  if (!options.init.empty()) folder_.keep_model(options.init);
  const engine::ParameterLayout& layout = plan.net->layout();
  folder_.reserve((layout.weights_size() + layout.statistics_size()) * sizeof(float) + kOtherFiles);
  const TrainingMetrics::Options metrics{.epochs = plan.epochs,
                                         .total_updates = plan.schedule.total_updates,
                                         .roles = plan.budget.roles,
                                         .log_every = options.log_every,
                                         .delayed = plan.delayed,
                                         .computes_ahead = options.prefetch_weights,
                                         .records_order = options.exchange == "async" && options.master_order != "free"};
  metrics_ = std::make_unique<TrainingMetrics>(metrics, *evaluator_, folder_, progress_);
  for (const auto& warning : plan.warnings) progress_.note("apam: warning: " + warning);
  progress_.note(describe_start(options, plan));
  if (saved != nullptr) {
    copied_before_ = saved->copied_bytes;
    progress_.note(fmt::format("continues at update {}, from {}", saved->update, folder_.checkpoint().string()));
  }
}

void RunOutput::watch(const engine::Updater& updater) {
  if (plan_.budget.roles.masters > 1 || options_.sync_backup > 0) return;
  Checkpoint first{.update = updater.version(),
                   .initial = plan_.initial,
                   .copied_bytes = copied_before_,
                   .fields = training_fields(options_, plan_)};
  checkpoints_ = std::make_unique<CheckpointWriter>(options_.checkpoint_every, std::move(first), updater, folder_, progress_);
  metrics_->save_to(*checkpoints_);
}

void RunOutput::resume(const Checkpoint& saved, ConstSpan<float> state) {
  folder_.resume_at(saved.files);
  metrics_->resume(saved, state);
}

int RunOutput::exit_code(const exchange::Ending& ending) const {
  const int code = training::exit_code(ending);
  return code == 0 && (failed_ || !metrics_->failure().empty()) ? 1 : code;
}

bool RunOutput::has_result(const exchange::Ending& ending) const {
  return metrics_->summary().updates > 0 || ending.why != exchange::Ending::Why::interrupted;
}

void RunOutput::save(const engine::ParameterArena& arena, const exchange::Ending& ending) {
  if (!has_result(ending)) return;
  folder_.start();
  const std::int64_t batches = plan_.initial.batches_tracked + metrics_->summary().updates;
  folder_.use_reserve([&] { nets::save_weights(folder_.model(), arena, batches); });
  if (ending.why == exchange::Ending::Why::complete) folder_.remove_checkpoint();
}

// The model is then the one that was evaluated.
void RunOutput::save_calibrated(const engine::ParameterArena& arena, const RunSummary& summary) {
  const Evaluation* const last = summary.final_evaluation();
  if (last == nullptr || last->scores.statistics.empty()) return;
  copy(ConstSpan<float>(std::span<const float>(last->scores.statistics)), arena.running_statistics());
  nets::save_weights(folder_.model(), arena, plan_.initial.batches_tracked + summary.updates);
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
  if (auto& bytes = summary.exchange.copied_bytes) *bytes += copied_before_;
  summary.sha256 = nets::sha256_of(arena);
  summary.processes = std::move(processes);
  if (const auto& divergence = summary.exchange.divergence) {
    progress_.note("apam: " + describe(*divergence, options_.keep_going));
  }
  try {
    folder_.write_summary(describe_summary(summary, options_, plan_));
  } catch (const InputError& error) {
    failed_ = true;
    progress_.note(fmt::format("apam: {}", error.what()));
  }
  return describe(summary, plan_, folder_.path());
}

}  // namespace apam::training
