#include <array>
#include <iostream>
#include <utility>

#include "apam/cli/commands.h"
#include "apam/training/kernel_choice.h"
#include "apam/training/run_output.h"
#include "apam/cli/run_control.h"
#include "apam/cli/train_ranks.h"
#include "apam/exchange/mpi/launch.h"
#include "apam/exchange/local/direct.h"
#include "apam/exchange/master.h"

namespace apam::cli {
namespace {

int train_local(const TrainOptions& options, const CommandLine& command, const Interruption& interruption) {
  const std::array<exchange::RankCores, 1> alone{cores_of_this_rank(true)};
  Plan plan = make_plan(options, make_crew(options, alone, 0));
  const auto interrupted = [&] { return interruption.pending().has_value(); };
  plan.exec.give_up = interrupted;
  Exec exec(plan.exec);
  const engine::ParameterArena arena(exec.device(), plan.net->layout());
  const std::int64_t batches_before = first_weights(options, exec, arena);
  check_interruption(interruption);
  const auto on_the_spot = [&] { return std::make_unique<EvaluationsOnTheSpot>(exec, *plan.net, plan.test, interrupted); };
  Recorder recorder(options, plan, command, on_the_spot);
  exchange::Updater updater(exec, arena, plan.optimizer);
  exchange::Master master(updater, 1, plan.schedule, recorder.monitor());
  NetGradientSource source(exec, *plan.net, arena, plan.train, {.threads = options.loader_threads});

  choose_kernels({exec, &updater, &source, batch_sizes(*plan.train, 0, 1)}, interruption);
  RunControl control(interruption);
  exchange::train_directly(master, source, control);
  recorder.save(arena, batches_before, master.ending());
  recorder.monitor().finish();
  RunEnding ending = end_of_run(master.ending(), master.divergence(), interruption);
  const int status = ending.status();
  recorder.close(arena, {"none (one process)", {report_process(exec.report())}, std::move(ending)});
  return status;
}

}  // namespace

int train(const TrainOptions& options, const CommandLine& command) {
  const Interruption interruption;  // before MPI and OpenMP start threads
  try {
    if (options.exchange != "local") return train_ranks(options, command, interruption);
    const auto size = exchange::process_environment("PMI_SIZE");
    if (size && *size != "1") {
      return refuse_on_all_ranks(
          command, 2, fmt::format("--exchange local: trains in one process, but {} were started; use async or sync", *size));
    }
    return train_local(options, command, interruption);
  } catch (const Interrupted& interrupted) {
    std::cerr << "apam: " << interrupted.what() << std::endl;
    return 128 + interrupted.signal();
  }
}

}  // namespace apam::cli
