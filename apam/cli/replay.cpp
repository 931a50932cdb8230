#include <fmt/ranges.h>
#include <unistd.h>

#include <iostream>
#include <optional>
#include <string>

#include "apam/cli/commands.h"
#include "apam/cli/pack_progress.h"
#include "apam/cli/run_control.h"
#include "apam/cli/terminal_progress.h"
#include "apam/training/run_replay.h"
#include "kernels/runtime/atomic_file.h"
#include "nets/weight_file.h"

namespace apam::cli {
namespace {

using training::RecordedRun;
using training::RunReplay;

/// What is not as in the record; empty if nothing is. `digests`: of the state after the replay.
std::string describe_difference(const RecordedRun& run, const RunReplay& replay, const nets::StateDigests& digests) {
  if (const auto& loss = replay.difference()) {
    return fmt::format("the mean training loss of updates {} to {} is {}, the run had {}", loss->begin, loss->end, loss->here,
                       loss->recorded);
  }
  if (run.summary.is_null()) return {};
  const std::int64_t updates = run.summary.value("updates", std::int64_t{0});
  if (replay.update() != updates) {
    return fmt::format("the recorded order makes {} updates, the run made {}", replay.update(), updates);
  }
  // Recalibrated statistics of batch norm are not those of the updates.
  const bool whole = run.options.bn == "running";
  const std::string key = whole ? "state_sha256" : "weights_sha256", &here = whole ? digests.state : digests.weights;
  const std::string recorded = run.summary.value(key, "");
  return here == recorded ? "" : fmt::format("{} after update {} is {}, the run had {}", key, updates, here, recorded);
}

int replay_run(const training::ReplayOptions& options, const Interruption& interruption) {
  if (!options.weights.empty()) AtomicFile::check(options.weights);
  RecordedRun run = RecordedRun::read(options.run);
  if (options.data_root) run.options.data.root = *options.data_root;
  if (options.init) run.options.init = *options.init;
  TerminalProgress progress(std::cerr, terminal_columns(STDERR_FILENO));
  std::optional<PackProgressLine> line(std::in_place, std::cerr, terminal_columns(STDERR_FILENO));
  RunReplay replay(run, progress, options.jobs, [&](const data::PackProgress& packing) {
    check_interruption(interruption);
    line->show(packing);
  });
  line.reset();
  RunControl control(interruption);
  replay.run(options.update, [&] { return control.stop_signal() != 0; });
  const double seconds = control.now();
  const nets::StateDigests digests = nets::sha256_of(replay.arena());
  if (const int signal = control.stop_signal(); signal != 0) {
    std::cerr << fmt::format("apam: replay: interrupted by signal {} after update {}", signal, replay.update()) << std::endl;
    return 128 + signal;
  }
  if (!options.weights.empty()) nets::save_weights(options.weights, replay.arena(), replay.batches_tracked());
  const bool whole = !options.update || replay.update() < *options.update;
  const std::string difference = whole || replay.difference() ? describe_difference(run, replay, digests) : "";
  if (!difference.empty()) {
    const auto reasons = run.differences();
    std::cerr << fmt::format("apam: replay: {}{}{}", difference, reasons.empty() ? "" : "; ", fmt::join(reasons, "; "))
              << std::endl;
    return 1;
  }
  const bool compared = whole && !run.summary.is_null();
  std::cout << fmt::format("{} updates replayed in {}: {}\nweights_sha256 {}\nstate_sha256   {}", replay.update(),
                           training::describe_duration(seconds),
                           compared ? "the state of the run, bit for bit" : "the losses of the run, bit for bit",
                           digests.weights, digests.state)
            << std::endl;
  return 0;
}

}  // namespace

int replay(const training::ReplayOptions& options) {
  const Interruption interruption;
  try {
    return replay_run(options, interruption);
  } catch (const Interrupted& interrupted) {
    std::cerr << "apam: " << interrupted.what() << std::endl;
    return 128 + interrupted.signal();
  }
}

}  // namespace apam::cli
