// The result of a run: summary.json, the closing text and the exit code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/leases.h"
#include "apam/exchange/staleness.h"
#include "apam/training/evaluator.h"
#include "apam/training/json_text.h"
#include "apam/training/process_report.h"
#include "apam/training/run_plan.h"
#include "nets/weight_file.h"

namespace apam::training {

struct ExchangeResult {
  std::string transport;
  exchange::Ending ending{};
  std::optional<exchange::Divergence> divergence{};  ///< the first, even if the run continued
  std::optional<exchange::LeaseCounts> leases{};     ///< nothing: synchronous training without backup ranks
  std::optional<std::int64_t> copied_bytes{};        ///< of contributions and weights, by the transport; nothing: not counted
  std::vector<double> staleness_by_master{};         ///< means; empty unless masters order by themselves
};

struct RunSummary {
  // From updates and evaluations (training_metrics.h).
  std::int64_t updates = 0;
  double seconds = 0;            ///< of training, without inline evaluation
  double images_per_second = 0;  ///< after the first updates, one per worker, which are warm-up
  // Means over the last epoch, or over all updates if there were fewer.
  double train_loss = 0, train_accuracy = 0, train_top5 = 0;
  std::optional<Evaluation> last_evaluation;  ///< with a finite loss
  std::int64_t departed = 0;                  ///< workers that have left before they were stopped
  exchange::Staleness staleness;

  // Added at the end (run_output.h).
  ExchangeResult exchange{};
  nets::StateDigests sha256{};
  std::vector<ProcessReport> processes{};  ///< by rank

  /// The evaluation of the final weights, or null.
  const Evaluation* final_evaluation() const;
};

/// 0: complete; 3: stopped because the model diverged; 128 + n: ended by signal n.
int exit_code(const exchange::Ending& ending);

/// The content of summary.json.
Json describe_summary(const RunSummary& summary, const TrainOptions& options, const RunPlan& plan);

/// For people: scores, speed and where the run folder is.
std::string describe(const RunSummary& summary, const RunPlan& plan, const std::filesystem::path& folder);

/// One line: the update, the worker, and what is not finite.
std::string describe(const exchange::Divergence& divergence, bool keep_going);

}  // namespace apam::training
