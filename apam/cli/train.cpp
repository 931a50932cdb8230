#include <unistd.h>

#include <array>
#include <iostream>
#include <optional>
#include <utility>

#include "apam/cli/commands.h"
#include "apam/cli/pack_progress.h"
#include "apam/cli/run_control.h"
#include "apam/cli/terminal_progress.h"
#include "apam/cli/tracing.h"
#include "apam/cli/train_ranks.h"
#include "apam/exchange/artificial_delay.h"
#include "apam/exchange/drivers/traced.h"
#include "apam/exchange/local/direct.h"
#include "apam/exchange/mpi/launch.h"
#include "apam/training/kernel_choice.h"
#include "apam/training/run_output.h"

namespace apam::cli {
namespace {

int train_local(const training::TrainOptions& options, const CommandLine& command, const Interruption& interruption) {
  const std::array<exchange::RankCores, 1> this_rank{training::cores_of_this_rank(options, true)};
  training::RunPlan plan = [&] {
    PackProgressLine line(std::cerr, terminal_columns(STDERR_FILENO));
    return make_run_plan(options, make_thread_budget(options, this_rank, 0), [&](const data::PackProgress& packing) {
      check_interruption(interruption);
      line.show(packing);
    });
  }();
  const auto interrupted = [&] { return interruption.pending().has_value(); };
  plan.exec.give_up = interrupted;
  Exec exec(plan.exec);
  using Contents = engine::ParameterArena::Contents;
  const engine::ParameterArena arena(exec.device(), plan.net->layout(),
                                     plan.delayed ? Contents::state : Contents::state_and_outgoing);
  auto saved = training::find_checkpoint(options, plan);
  plan.initial = load_state(options, exec, arena, saved);
  std::optional<exchange::WeightHistory> history;
  std::optional<engine::ParameterArena> delayed_model;  // the worker's, with older weights
  if (plan.delayed) {
    history.emplace(exec.device(), plan.history);
    delayed_model.emplace(exec.device(), plan.net->layout());
  } else {
    history.emplace(arena.state(), plan.history);
  }
  saved ? saved->restore(*history) : history->publish_first(arena.state());
  check_interruption(interruption);
  std::optional<Tracing> tracing;
  if (!options.trace.empty()) tracing.emplace(options, 0, 1);
  const auto make_evaluator = [&] {
    return std::make_unique<training::InlineEvaluator>(exec, *plan.net, plan.evaluation_images(), interrupted,
                                                       tracing ? tracing->evaluation() : nullptr);
  };
  TerminalProgress progress(std::cerr, terminal_columns(STDERR_FILENO));
  training::RunOutput output(options, plan, command, progress, make_evaluator, saved ? &*saved : nullptr);
  engine::Updater updater(exec, arena, plan.optimizer);
  if (saved) {
    saved->restore(updater);
    saved->drop_arrays();
  }
  output.watch(updater);
  const exchange::ArtificialDelay delay(options.max_delay, options.seed);
  exchange::MasterState master(updater, *history,
                               {.schedule = plan.schedule,
                                .delay = plan.delayed ? &delay : nullptr,
                                .done = saved ? saved->batches : exchange::BatchProgress()});
  training::NetGradientSource source(exec, *plan.net, delayed_model ? *delayed_model : arena, plan.train,
                                     {.threads = options.loader_threads});

  const training::KernelWork work{exec, &updater, &source, training::batch_sizes(*plan.train, 0, 1)};
  choose_kernels(work, [&] { check_interruption(interruption); });
  std::optional<exchange::TracedObserver> traced;
  if (tracing) {
    source.record_on(tracing->exchange());
    traced.emplace(output.metrics(), tracing->exchange());
  }
  if (saved) output.resume(*saved, arena.state());
  RunControl control(interruption);
  exchange::train_directly(master, source, control, traced ? static_cast<exchange::Observer&>(*traced) : output.metrics());
  if (plan.delayed) copy(exec, history->current().state(), arena.state());
  output.save(arena, master.ending());
  output.metrics().finish();
  if (tracing) tracing->write();
  const exchange::Ending ending = with_late_signal(master.ending(), interruption);
  const std::string text = output.close(arena, {"none (one process)", ending, master.divergence(), master.leases(), 0},
                                        {training::report_process(exec.report())});
  if (!text.empty()) std::cout << text << std::endl;
  return output.exit_code(ending);
}

int refuse_several(const exchange::mpi::Launched& launched, const CommandLine& command) {
  const std::string mistake =
      fmt::format("--exchange local: trains in one process, but {} were started; use async or sync", launched.processes);
  if (launched.by_pmi) return refuse_on_all_ranks(command, 2, mistake);
  if (launched.first_to_know) std::cerr << "apam: " << mistake << std::endl;
  return 2;
}

}  // namespace

int train(const training::TrainOptions& options, const CommandLine& command) {
  const Interruption interruption;  // before MPI and OpenMP start threads
  try {
    if (options.exchange != "local") return train_ranks(options, command, interruption);
    if (const auto launched = exchange::mpi::several_processes(exchange::mpi::process_environment)) {
      return refuse_several(*launched, command);
    }
    return train_local(options, command, interruption);
  } catch (const Interrupted& interrupted) {
    std::cerr << "apam: " << interrupted.what() << std::endl;
    return 128 + interrupted.signal();
  }
}

}  // namespace apam::cli
