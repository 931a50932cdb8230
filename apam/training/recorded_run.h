// The folder of an asynchronous run as what a replay needs of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "apam/exchange/drivers/replay.h"
#include "apam/training/json_text.h"
#include "apam/training/options.h"
#include "kernels/runtime/kernel_decisions.h"

namespace apam::training {

/// The options that config.json names, with the values that the run has used. Throws InputError, which names `where`, for
/// values of the wrong type.
TrainOptions options_of_run(const Json& config, const std::string& where);

struct RecordedRun {
  /// A line of metrics.jsonl.
  struct Losses {
    std::int64_t update = 0;  ///< the last one
    double mean = 0;          ///< of the training loss since the line before; NaN if it was not finite
  };

  std::filesystem::path folder;
  Json config, summary;  ///< summary: null if the run was killed
  TrainOptions options;
  std::vector<exchange::RecordedCall> calls;
  std::vector<Losses> losses;

  /// Throws InputError for a folder without config.json or order.jsonl, and for files that are malformed. The last line of a
  /// run that was killed may be incomplete: it is left out.
  static RecordedRun read(const std::filesystem::path& folder);

  /// By start: the threads of each worker.
  std::vector<std::vector<int>> threads_of_workers() const;

  /// Of `auto`: the providers in summary.json, for kernels of `threads` threads. Throws InputError if ranks differed.
  KernelDecisions kernels(Device device, int threads) const;

  /// What differs between the run and this process and may change bits: version, processor's instructions. Lines for people.
  std::vector<std::string> differences() const;
};

}  // namespace apam::training
