// Set-up in steps that all ranks take together: compare options, gather hosts and cores, everything that can fail, compare the
// data, choose kernels. Then the exchange. Then every rank reports to rank 0, which owns the result and sets the exit code.
#include "apam/cli/train_ranks.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "apam/cli/common_steps.h"
#include "apam/cli/ended.h"
#include "apam/cli/exchange_ranks.h"
#include "apam/cli/failure.h"
#include "apam/cli/pack_progress.h"
#include "apam/cli/run_control.h"
#include "apam/cli/transport_choice.h"
#include "apam/exchange/master_state.h"
#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/deadline.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/mpi/gather_strings.h"
#include "apam/training/kernel_choice.h"
#include "apam/training/run_output.h"
#include "apam/training/usage_error.h"
#include "kernels/runtime/host_name.h"

namespace apam::cli {
namespace {

using exchange::mpi::all_gather_strings;
using exchange::mpi::broadcast_string;
using exchange::mpi::Environment;
using exchange::mpi::gather_strings;
using training::RunPlan;
using training::ThreadBudget;
using training::TrainOptions;

// Another number of threads needs other kernels. For fewer test images, choosing them takes longer than they save.
constexpr std::int64_t kManyImages = 5000;

/// What this rank is.
exchange::Roles roles_of(const Environment& environment, const TrainOptions& options) {
  return training::roles_of(options, environment.ranks());
}
bool computes(const Environment& environment, const TrainOptions& options) {
  return roles_of(environment, options).is_worker(environment.rank());
}
bool updates(const Environment& environment, const TrainOptions& options) {
  return options.exchange == "sync" || roles_of(environment, options).is_master(environment.rank());
}

/// By rank.
std::vector<exchange::RankCores> cores_of_ranks(const Environment& environment, const TrainOptions& options) {
  const exchange::RankCores mine = training::cores_of_this_rank(options, computes(environment, options));
  std::vector<exchange::RankCores> ranks;
  for (const auto& text : all_gather_strings(environment, mine.to_text())) {
    ranks.push_back(exchange::RankCores::from_text(text));
  }
  return ranks;
}

/// The part of the set-up that needs no other rank: data, and what the rank will do.
void make_plan(Rank& rank, const Environment& environment, const TrainOptions& options, const ThreadBudget& budget,
               const Interruption& interruption) {
  require<training::UsageError>(options.exchange == "sync" || budget.roles.complete(),
                                "--exchange async: needs {} and at least {}, got {} rank{}, start it by {} -n {}",
                                options.masters == 1 ? "a master" : fmt::format("{} masters", options.masters),
                                options.colocate ? fmt::format("{} workers with --colocate", options.masters) : "one worker",
                                environment.ranks(), environment.ranks() == 1 ? "" : "s", exchange::mpi::launcher(),
                                options.masters + (options.colocate ? 0 : 2));
  {
    PackProgressLine line(std::cerr, terminal_columns(STDERR_FILENO));
    rank.plan = make_run_plan(options, budget, [&](const data::PackProgress& packing) {
      check_interruption(interruption);
      if (environment.rank() == 0) line.show(packing);
    });
  }
  RunPlan& plan = rank.plan;
  plan.exec.give_up = [&interruption] { return interruption.pending().has_value(); };
  const bool computes = cli::computes(environment, options), master = budget.roles.is_master(environment.rank());
  if (computes && master) rank.worker_exec.emplace(plan.exec);
  if (master) plan.exec.threads = budget.master_threads;
  rank.exec.emplace(plan.exec);
}

/// The memory of the model for updates: of the state, or of nothing, but the layout of a range.
void make_arena_of_master(Rank& rank, const Environment& environment) {
  using Contents = engine::ParameterArena::Contents;
  const engine::ParameterLayout& layout = rank.plan.net->layout();
  if (rank.plan.budget.roles.masters > 1) {
    const auto& range = rank.plan.shards.at(static_cast<std::size_t>(environment.rank()));
    rank.shard.emplace(rank.exec->device(), layout_of(layout, range), Contents::none);
  }
  if (environment.rank() == 0) rank.arena.emplace(rank.exec->device(), layout, Contents::state);
}

/// The memory of the model for gradients. With shared memory contributions are written there. An asynchronous worker then has
/// no memory of its own: it computes on published versions, and in its first steps, which choose kernels, on what is there
/// before the first. On a GPU it has weights, to which it copies versions: recorded steps have their address.
void make_arena_of_worker(Rank& rank, const Environment& environment, bool prefetches) {
  using Contents = engine::ParameterArena::Contents;
  const auto& [async, sync, backup, gpus] = rank.shared;
  const engine::ParameterLayout& layout = rank.plan.net->layout();
  const Device device = rank.exec->device();
  const bool on_gpu = device.kind == DeviceKind::cuda;
  Contents contents = Contents::state_and_outgoing;
  if (async || sync || backup) contents = async && !on_gpu ? Contents::none : Contents::state;
  engine::ParameterArena& arena =
      rank.worker_exec ? rank.worker_arena.emplace(device, layout, contents) : rank.arena.emplace(device, layout, contents);
  if (prefetches) rank.second.emplace(device, layout, contents);
  if (sync) arena.use_outgoing(sync->group.contribution(environment.rank()));
  if (backup) arena.use_outgoing(backup->group.contribution(environment.rank()));
  if (!async) return;
  arena.use_outgoing(async->segment.contribution(rank.plan.budget.roles.worker_of(environment.rank())));
  if (!on_gpu) arena.read_weights_from(async->segment.weights(0));
}

/// In how many shares the ranks divide a mini-batch.
int shares_of_a_batch(const Environment& environment, const TrainOptions& options) {
  return options.exchange == "sync" ? environment.ranks() - static_cast<int>(options.sync_backup) : 1;
}

/// The sizes of the batches, or shares of batches, that the rank computes. With backup ranks, any rank may get any share.
std::set<std::int64_t> rows_of(const Rank& rank, const Environment& environment, const TrainOptions& options) {
  const int parts = shares_of_a_batch(environment, options);
  if (options.exchange != "sync") return training::batch_sizes(*rank.plan.train, 0, 1);
  if (options.sync_backup == 0) return training::batch_sizes(*rank.plan.train, environment.rank(), parts);
  std::set<std::int64_t> rows;
  for (int part = 0; part < parts; ++part) rows.merge(training::batch_sizes(*rank.plan.train, part, parts));
  return rows;
}

/// Everything that computes.
void make_model(Rank& rank, const Environment& environment, const TrainOptions& options) {
  const RunPlan& plan = rank.plan;
  const bool first = environment.rank() == 0, computes = cli::computes(environment, options);
  const bool master = plan.budget.roles.is_master(environment.rank());
  if (master) make_arena_of_master(rank, environment);
  if (computes) make_arena_of_worker(rank, environment, options.prefetch_weights);
  if (updates(environment, options)) {
    rank.updater.emplace(*rank.exec, rank.shard ? *rank.shard : *rank.arena, plan.optimizer);
  }
  if (computes) {
    const std::int64_t parts = shares_of_a_batch(environment, options);
    const data::LoaderOptions loader{.threads = options.loader_threads, .rows = (options.batch + parts - 1) / parts};
    rank.source.emplace(rank.exec_of_worker(), *plan.net, rank.arena_of_worker(), plan.train, loader);
  }
  if (first) {
    rank.saved = find_checkpoint(options, plan);
    rank.plan.initial = load_state(options, *rank.exec, *rank.arena, rank.saved);
    if (rank.saved) rank.saved->restore(*rank.updater);
  }
  if (first && master) {
    rank.shared.async ? rank.history.emplace(rank.shared.async->segment.versions(), plan.history)
                      : rank.history.emplace(rank.exec->device(), plan.history);
    rank.saved ? rank.saved->restore(*rank.history) : rank.history->publish_first(rank.arena->state());
  }
  if (rank.saved) rank.saved->drop_arrays();
}

/// On rank 0, after the set-up of every rank has succeeded.
void open_output(Rank& rank, const TrainOptions& options, const CommandLine& command, const Interruption& interruption) {
  const RunPlan& plan = rank.plan;
  training::BackgroundEvaluator::Options evaluation{.exec = plan.exec, .final_threads = plan.budget.eval_threads};
  evaluation.exec.threads = plan.budget.eval_threads;
  evaluation.decisions = rank.exec_of_worker().adopted();
  if (rank.tracing) evaluation.track = rank.tracing->evaluation();
  evaluation.give_up = [&interruption] { return interruption.pending().has_value(); };
  if (plan.evaluation->images() >= kManyImages) evaluation.final_threads = plan.budget.all_threads;
  const auto make_evaluator = [&] {
    auto evaluator = std::make_unique<training::BackgroundEvaluator>(evaluation, *plan.net, plan.evaluation_images());
    check_interruption(interruption);
    evaluator->collect();  // throws if its start failed
    return evaluator;
  };
  rank.output = std::make_unique<training::RunOutput>(options, plan, command, rank.progress, make_evaluator,
                                                      rank.saved ? &*rank.saved : nullptr);
  rank.output->watch(*rank.updater);
  if (rank.saved) rank.output->resume(*rank.saved, rank.arena->state());
}

/// Chooses the kernels of all ranks for their `work` (kernel_choice.h). Returns like agree().
int choose_in_turns(const training::KernelWork& work, const Environment& environment, const Interruption& interruption) {
  std::vector<training::RankWork> works;
  const auto hosts = all_gather_strings(environment, host_name());
  const auto descriptions = all_gather_strings(environment, work.describe());
  for (std::size_t r = 0; r < hosts.size(); ++r) works.push_back({hosts[r], descriptions[r]});
  const auto turns = turns_of_ranks(works);
  const auto mine = static_cast<std::size_t>(environment.rank());
  for (int turn = 0; turn <= *std::max_element(turns.begin(), turns.end()); ++turn) {
    const int status = agree(environment, interruption, [&] {
      if (turns[mine] == turn) choose_kernels(work, [&] { check_interruption(interruption); });
    });
    if (status != 0) return status;
    const auto decided = all_gather_strings(environment, turns[mine] == turn ? work.exec.decisions().to_text() : "");
    for (std::size_t r = 0; r < decided.size(); ++r) {
      if (hosts[r] == hosts[mine] && !decided[r].empty()) work.exec.adopt(KernelDecisions::from_text(decided[r]));
    }
  }
  return 0;
}

/// Returns like agree(). Colocated masters and workers have two executions with work of their own.
int choose_kernels_of_all(Rank& rank, const Environment& environment, const TrainOptions& options,
                          const Interruption& interruption) {
  training::KernelWork work{.exec = *rank.exec};
  if (rank.updater) {
    work.updater = &*rank.updater;
    if (options.exchange == "async") {
      work.contributions = std::min(rank.plan.budget.roles.workers, exchange::MasterState::kMostTogether);
    }
  }
  training::KernelWork gradients{.exec = rank.exec_of_worker()};
  if (rank.source) {
    training::KernelWork& computing = options.colocate ? gradients : work;
    computing.source = &*rank.source;
    computing.rows = rows_of(rank, environment, options);
  }
  const int status = choose_in_turns(work, environment, interruption);
  return status != 0 || !options.colocate ? status : choose_in_turns(gradients, environment, interruption);
}

/// Chooses the transport. Returns like agree().
int agree_on_transport(Rank& rank, const Environment& environment, const TrainOptions& options) {
  try {
    rank.shared = choose_transport(environment, options, rank.plan);
    if (!rank.shared.async || !options.prefetch_weights) return 0;
    if (environment.rank() == 0) {
      std::cerr << "apam: --prefetch-weights: is for messages between ranks, got --transport " << options.transport
                << ", which is shared memory here, where a reply takes no time; use --transport mpi" << std::endl;
    }
    return 2;
  } catch (const NoTransport& error) {  // the same on all ranks
    if (environment.rank() == 0) std::cerr << "apam: --transport " << options.transport << ": " << error.what() << std::endl;
    return 1;
  }
}

int set_up_all(Rank& rank, const Environment& environment, const TrainOptions& options, const CommandLine& command,
               const Interruption& interruption) {
  if (const int status = compare(environment, training::program_and_options(options)); status != 0) return status;
  const ThreadBudget budget = training::make_thread_budget(options, cores_of_ranks(environment, options), environment.rank());
  training::Fields seen;
  const auto own_part = [&] {
    make_plan(rank, environment, options, budget, interruption);
    seen = data_and_model(rank.plan);
  };
  if (const int status = agree(environment, interruption, own_part); status != 0) return status;
  if (const int status = compare(environment, seen); status != 0) return status;
  rank.plan.machines = training::machines_from(all_gather_strings(environment, rank.plan.machines[0].to_text()));
  if (const int status = agree_on_transport(rank, environment, options); status != 0) return status;
  const auto model = [&] {
    if (!options.trace.empty()) rank.tracing.emplace(options, environment.rank(), environment.ranks());
    make_model(rank, environment, options);
    if (rank.tracing && rank.source) rank.source->record_on(rank.tracing->worker());
  };
  if (const int status = agree(environment, interruption, model); status != 0) return status;
  if (rank.tracing) rank.tracing->align(environment);
  if (const int status = choose_kernels_of_all(rank, environment, options, interruption); status != 0) return status;
  return agree(environment, interruption, [&] {
    if (environment.rank() == 0) open_output(rank, options, command, interruption);
  });
}

/// Everything after the set-up. All ranks return what rank 0 does.
Ended exchange_and_report(Rank& rank, const Environment& environment, const TrainOptions& options,
                          const Interruption& interruption) {
  RunControl control(interruption);
  training::ExchangeResult result = exchange_gradients(rank, environment, options, control);
  std::vector<KernelReport> kernels = rank.exec->report();
  const auto add = [&kernels](const std::vector<KernelReport>& more) {
    kernels.insert(kernels.end(), more.begin(), more.end());
  };
  if (rank.worker_exec) add(rank.worker_exec->report());
  if (rank.output) {
    rank.output->save(*rank.arena, result.ending);
    if (result.ending.why == exchange::Ending::Why::interrupted) rank.output->evaluator().give_up();
    rank.output->metrics().finish();
    add(rank.output->evaluator().kernels());
    result.ending = with_late_signal(result.ending, interruption);
  }
  const std::span<const int> departed = rank.output ? rank.output->metrics().departed_ranks() : std::span<const int>();
  const std::vector<int> gone(departed.begin(), departed.end());
  const auto reports = gather_strings(environment, training::report_process(std::move(kernels)).to_text(), gone);
  Ended mine{training::exit_code(result.ending), !gone.empty()};
  if (rank.output) {
    std::vector<training::ProcessReport> processes;
    processes.reserve(reports.size());
    for (const std::string& report : reports) {
      processes.push_back(report.empty() ? training::ProcessReport{} : training::ProcessReport::from_text(report));
    }
    const exchange::Ending ending = result.ending;
    const std::string text = rank.output->close(*rank.arena, std::move(result), std::move(processes));
    mine.code = rank.output->exit_code(ending);
    if (!text.empty()) std::cout << text << std::endl;
  }
  if (rank.tracing) rank.tracing->write(environment, gone);
  return Ended::from_text(broadcast_string(environment, mine.to_text(), gone));
}

Environment start_mpi(const CommandLine& command, exchange::mpi::Threads threads = exchange::mpi::Threads::one) {
  std::vector<const char*> arguments;
  for (const auto& argument : command) arguments.push_back(argument.c_str());
  return {static_cast<int>(arguments.size()), arguments.data(), threads};
}

}  // namespace

int refuse_on_all_ranks(const CommandLine& command, int status, const std::string& mistake) {
  // Ranks with another command may not start MPI.
  const exchange::mpi::Deadline deadline(std::chrono::seconds(5), status, "apam: " + mistake);
  Environment environment = start_mpi(command);
  return environment.finish(first_mistake(environment, share(environment, {status, mistake})));
}

int train_ranks(const TrainOptions& options, const CommandLine& command, const Interruption& interruption) {
  using exchange::mpi::Threads;
  Environment environment = start_mpi(command, options.colocate ? Threads::any : Threads::one);
  // Outlives the handler: messages in flight may still use its memory, and a running evaluation is not waited for.
  Rank rank;
  try {
    int status = set_up_all(rank, environment, options, command, interruption);
    if (status == 0) {
      const Ended ended = exchange_and_report(rank, environment, options, interruption);
      if (ended.some_left) exchange::mpi::leave_job(ended.code);
      status = ended.code;
    }
    // finish() is a barrier: no rank releases memory of its GPU that another one has mapped.
    if (rank.shared.async) rank.shared.async->mapped.clear();
    rank.shared.gpus.reset();
    return environment.finish(status);
  } catch (const std::exception& error) {
    end_job_after(error, environment);
  }
}

}  // namespace apam::cli
