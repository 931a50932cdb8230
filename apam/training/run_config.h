// What a run says about itself: its configuration before, its summary after.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apam/training/run_plan.h"
#include "apam/training/training_metrics.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/training/run_folder.h"
#include "kernels/runtime/exec.h"

namespace apam::training {

/// What one process says at the end; it travels as text.
struct ProcessReport {
  std::string host;            ///< a json_text()
  double peak_memory_mib = 0;  ///< largest resident set
  std::vector<KernelReport> kernels;

  std::string to_text() const;
  static ProcessReport from_text(std::string_view text);
};

/// The report of this process.
ProcessReport report_process(std::vector<KernelReport> kernels);

std::string host_name();

/// Everything that settles a run. `command`: the program and its arguments.
Json describe_config(const TrainOptions& options, const Plan& plan, const std::vector<std::string>& command);

/// How training ended, as status and summary tell it.
struct RunEnding {
  exchange::Ending ending;
  std::optional<exchange::Divergence> divergence;  ///< the first, also of a run that kept going

  /// 0; 3: diverged, and ended there; 128 + n: ended by signal n.
  int status() const;
};

struct Finish {
  TrainingMonitor::Outcome outcome;
  RunEnding ending;
  std::string weights_sha256, state_sha256;
  std::string_view transport;
  std::vector<ProcessReport> processes;  ///< by rank
};
Json describe_summary(const TrainOptions& options, const Plan& plan, const exchange::Staleness& staleness,
                           const Finish& finish);

/// One line for people: the update, the worker, and what is not finite.
std::string describe(const exchange::Divergence& divergence, bool keep_going);

/// For people, at the beginning and at the end of a run.
std::string describe_start(const TrainOptions& options, const Plan& plan);
std::string describe_finish(const Plan& plan, const exchange::Staleness& staleness, const Finish& finish,
                            const RunFolder& folder);

}  // namespace apam::training
