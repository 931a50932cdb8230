// Set-up in steps that all ranks take together: comparing what they were asked, sharing hosts and cores, everything that can
// fail, comparing what data they see, choosing kernels. Then the exchange; then every rank reports to rank 0, which has the
// result and says the status.
#include "apam/cli/train_ranks.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "apam/training/agreement.h"
#include "apam/cli/failure.h"
#include "apam/training/kernel_choice.h"
#include "apam/training/run_output.h"
#include "apam/cli/run_control.h"
#include "apam/exchange/master.h"
#include "apam/exchange/mpi/all_reduce.h"
#include "apam/exchange/mpi/deadline.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/synchronous.h"
#include "apam/exchange/worker.h"

namespace apam::cli {
namespace {

using exchange::mpi::Environment;

// More threads ask for other kernels; for fewer images, choosing those takes longer than they save.
constexpr std::int64_t kManyImages = 5000;

/// For ranks that record nothing.
class NoObserver : public exchange::Observer {
 public:
  void on_update(const exchange::UpdateRecord& /*record*/) override {}
  void on_snapshot(std::int64_t /*update*/, double /*at*/, In /*state*/) override {}
};

/// What a rank holds. Members are made in order, each from those before it.
struct Rank {
  Plan plan;
  std::optional<Exec> exec;
  std::optional<engine::ParameterArena> arena;
  std::optional<exchange::Updater> updater;  // ranks that apply updates
  std::optional<NetGradientSource> source;   // ranks that compute gradients
  std::unique_ptr<Recorder> recorder;        // rank 0
  std::int64_t batches_before = 0;           // rank 0
};

/// What each rank may run on, by rank.
std::vector<exchange::RankCores> cores_of_ranks(const Environment& environment, bool has_master) {
  const exchange::RankCores mine = cores_of_this_rank(!has_master || environment.rank() != 0);
  std::vector<exchange::RankCores> ranks;
  for (const auto& text : exchange::mpi::share_text(environment, mine.to_text())) {
    ranks.push_back(exchange::RankCores::from_text(text));
  }
  return ranks;
}

/// Everything that a rank can do on its own.
void set_up(Rank& rank, const Environment& environment, const TrainOptions& options, const Crew& crew,
            const Interruption& interruption) {
  require<UsageError>(options.exchange == "sync" || environment.ranks() >= 2,
                      "--exchange async: needs a master and at least one worker, start it by {} -n 3",
                      exchange::mpi::launcher());
  const bool synchronous = options.exchange == "sync";
  const bool first = environment.rank() == 0;
  const bool computes = synchronous || !first;
  const bool updates = synchronous || first;
  rank.plan = make_plan(options, crew);
  Plan& plan = rank.plan;
  if (!computes) plan.exec.threads = crew.master_threads;
  plan.exec.give_up = [&interruption] { return interruption.pending().has_value(); };
  rank.exec.emplace(plan.exec);
  using Contents = engine::ParameterArena::Contents;
  rank.arena.emplace(rank.exec->device(), plan.net->layout(), computes ? Contents::state_and_outgoing : Contents::state);
  if (updates) rank.updater.emplace(*rank.exec, *rank.arena, plan.optimizer);
  if (computes) {
    const std::int64_t parts = synchronous ? environment.ranks() : 1;
    const data::LoaderOptions loader{.threads = options.loader_threads, .rows = (options.batch + parts - 1) / parts};
    rank.source.emplace(*rank.exec, *plan.net, *rank.arena, plan.train, loader);
  }
  if (first) rank.batches_before = first_weights(options, *rank.exec, *rank.arena);
}

/// Rank 0, when the set-up of every rank has succeeded.
void start_recording(Rank& rank, const TrainOptions& options, const CommandLine& command,
                     const Interruption& interruption) {
  const Plan& plan = rank.plan;
  EvaluationsBeside::Options beside{.exec = plan.exec, .final_threads = plan.crew.eval_threads};
  beside.exec.threads = plan.crew.eval_threads;
  beside.decisions = rank.exec->adopted();
  beside.give_up = [&interruption] { return interruption.pending().has_value(); };
  if (plan.test->images() >= kManyImages) beside.final_threads = plan.crew.all_threads;
  const auto beside_the_training = [&] {
    auto evaluations = std::make_unique<EvaluationsBeside>(beside, *plan.net, plan.test);
    check_interruption(interruption);
    evaluations->collect();  // throws what its start threw
    return evaluations;
  };
  rank.recorder = std::make_unique<Recorder>(options, plan, command, beside_the_training);
}

/// An exit status and a text, as they travel between ranks.
struct StatusText {
  int status = 0;
  std::string text;
};

std::vector<StatusText> share(const Environment& environment, const StatusText& mine) {
  std::vector<StatusText> all;
  for (const std::string& line : exchange::mpi::share_text(environment, fmt::format("{} {}", mine.status, mine.text))) {
    StatusText theirs{.status = 1, .text = line.substr(line.find(' ') + 1)};
    std::from_chars(line.data(), line.data() + line.size(), theirs.status);
    all.push_back(std::move(theirs));
  }
  return all;
}

/// Prints the first mistake, once. Returns its status on all ranks; 0 if there is none.
int first_mistake(const Environment& environment, std::span<const StatusText> answers) {
  for (std::size_t r = 0; r < answers.size(); ++r) {
    if (answers[r].status == 0) continue;
    const std::string where = r == 0 ? "" : fmt::format("rank {}: ", r);
    if (environment.rank() == 0) std::cerr << "apam: " << where << answers[r].text << std::endl;
    return answers[r].status;
  }
  return 0;
}

/// Runs a step of the set-up and learns how it went on all ranks. The first mistake is printed once; returns 0 if there is
/// none, and the same status on all ranks if there is.
template <class Step>
int agree(const Environment& environment, const Interruption& interruption, Step&& step) {
  StatusText mine;
  try {
    check_interruption(interruption);
    step();
  } catch (const UsageError& error) {
    mine = {2, error.what()};
  } catch (const Interrupted& interrupted) {
    mine = {128 + interrupted.signal(), interrupted.what()};
  } catch (const std::exception& error) {
    mine = {1, describe_failure(error, "train")};
  }
  return first_mistake(environment, share(environment, mine));
}

/// Compares what all ranks say. Where they differ it is printed once, and all ranks return 2.
int compare(const Environment& environment, const Fields& fields) {
  const auto answers = share(environment, {0, to_text(fields)});
  if (const int status = first_mistake(environment, answers); status != 0) return status;
  std::vector<std::string> texts;
  for (const StatusText& answer : answers) texts.push_back(answer.text);
  const auto difference = first_disagreement(texts);
  if (!difference) return 0;
  if (environment.rank() == 0) std::cerr << "apam: " << *difference << std::endl;
  return 2;
}

/// Chooses the kernels of all ranks (kernel_choice.h). Returns a status as agree() does.
int choose_in_turns(Rank& rank, const Environment& environment, const TrainOptions& options,
                    const Interruption& interruption) {
  const bool shares = options.exchange == "sync";
  KernelWork work{
      .exec = *rank.exec, .updater = rank.updater ? &*rank.updater : nullptr, .source = rank.source ? &*rank.source : nullptr};
  if (rank.source) work.rows = batch_sizes(*rank.plan.train, shares ? environment.rank() : 0, shares ? environment.ranks() : 1);
  std::vector<RankWork> works;
  const auto hosts = exchange::mpi::share_text(environment, host_name());
  const auto descriptions = exchange::mpi::share_text(environment, work.describe());
  for (std::size_t r = 0; r < hosts.size(); ++r) works.push_back({hosts[r], descriptions[r]});
  const auto turns = turns_of_ranks(works);
  const auto mine = static_cast<std::size_t>(environment.rank());
  for (int turn = 0; turn <= *std::max_element(turns.begin(), turns.end()); ++turn) {
    const int status = agree(environment, interruption, [&] {
      if (turns[mine] == turn) choose_kernels(work, interruption);
    });
    if (status != 0) return status;
    const auto decided = exchange::mpi::share_text(environment, turns[mine] == turn ? rank.exec->decisions().to_text() : "");
    for (std::size_t r = 0; r < decided.size(); ++r) {
      if (hosts[r] == hosts[mine] && !decided[r].empty()) rank.exec->adopt(KernelDecisions::from_text(decided[r]));
    }
  }
  return 0;
}

int set_up_all(Rank& rank, const Environment& environment, const TrainOptions& options, const CommandLine& command,
               const Interruption& interruption) {
  if (const int status = compare(environment, program_and_options(options)); status != 0) return status;
  const Crew crew = make_crew(options, cores_of_ranks(environment, options.exchange == "async"), environment.rank());
  Fields seen;
  const auto own_part = [&] {
    set_up(rank, environment, options, crew, interruption);
    seen = data_and_model(rank.plan);
  };
  if (const int status = agree(environment, interruption, own_part); status != 0) return status;
  if (const int status = compare(environment, seen); status != 0) return status;
  if (const int status = choose_in_turns(rank, environment, options, interruption); status != 0) return status;
  return agree(environment, interruption, [&] {
    if (environment.rank() == 0) start_recording(rank, options, command, interruption);
  });
}

/// How the exchange ended, and what carried it.
struct Exchanged {
  std::string transport;
  exchange::Ending ending;
  std::optional<exchange::Divergence> divergence;
};

Exchanged exchange_synchronously(Rank& rank, const Environment& environment, exchange::Control& control) {
  const auto all_reduce = exchange::mpi::make_all_reduce(environment);
  NoObserver none;
  exchange::Observer& observer = rank.recorder ? static_cast<exchange::Observer&>(rank.recorder->monitor()) : none;
  exchange::SynchronousTrainer trainer(*all_reduce, *rank.updater, *rank.source, rank.plan.schedule, observer);
  const exchange::Ending ending = trainer.run(control);
  return {std::string(all_reduce->name()), ending, trainer.divergence()};
}

Exchanged exchange_asynchronously(Rank& rank, const Environment& environment, exchange::Control& control) {
  const engine::ParameterLayout& layout = rank.plan.net->layout();
  const exchange::mpi::MessageSizes sizes{.contribution = layout.weights_size() + layout.statistics_size(),
                                          .weights = layout.weights_size()};
  if (!rank.recorder) {
    const auto transport = exchange::mpi::make_worker_transport(environment, sizes);
    exchange::Worker(*rank.source).run(*transport, control);
    return {};
  }
  const auto transport = exchange::mpi::make_master_transport(environment, sizes);
  exchange::Master master(*rank.updater, transport->workers(), rank.plan.schedule, rank.recorder->monitor());
  master.run(*transport, control);
  return {std::string(transport->name()), master.ending(), master.divergence()};
}

/// Everything after the set-up. All ranks return the status that rank 0 says.
int exchange_and_report(Rank& rank, const Environment& environment, const TrainOptions& options,
                        const Interruption& interruption) {
  RunControl control(interruption);
  Exchanged exchanged = options.exchange == "sync" ? exchange_synchronously(rank, environment, control)
                                                   : exchange_asynchronously(rank, environment, control);
  std::vector<KernelReport> kernels = rank.exec->report();
  RunEnding ending;
  if (rank.recorder) {
    rank.recorder->save(*rank.arena, rank.batches_before, exchanged.ending);
    if (exchanged.ending.why == exchange::Ending::Why::interrupted) rank.recorder->evaluations().give_up();
    rank.recorder->monitor().finish();
    const auto more = rank.recorder->evaluations().kernels();
    kernels.insert(kernels.end(), more.begin(), more.end());
    ending = end_of_run(exchanged.ending, std::move(exchanged.divergence), interruption);
  }
  const auto reports = share(environment, {ending.status(), report_process(std::move(kernels)).to_text()});
  const int status = reports[0].status;
  if (!rank.recorder) return status;
  Recorder::End end{.transport = exchanged.transport, .processes = {}, .ending = std::move(ending)};
  for (const StatusText& report : reports) end.processes.push_back(ProcessReport::from_text(report.text));
  rank.recorder->close(*rank.arena, std::move(end));
  return status;
}

Environment start_mpi(const CommandLine& command) {
  std::vector<const char*> arguments;
  for (const auto& argument : command) arguments.push_back(argument.c_str());
  return {static_cast<int>(arguments.size()), arguments.data()};
}

}  // namespace

int refuse_on_all_ranks(const CommandLine& command, int status, const std::string& mistake) {
  // Ranks with another command may start no MPI.
  const exchange::mpi::Deadline deadline(std::chrono::seconds(5), status, "apam: " + mistake);
  Environment environment = start_mpi(command);
  return environment.finish(first_mistake(environment, share(environment, {status, mistake})));
}

int train_ranks(const TrainOptions& options, const CommandLine& command, const Interruption& interruption) {
  Environment environment = start_mpi(command);
  // It outlives the handler: messages under way may still use its memory, and an evaluation that runs is not waited for.
  Rank rank;
  try {
    int status = set_up_all(rank, environment, options, command, interruption);
    if (status == 0) status = exchange_and_report(rank, environment, options, interruption);
    return environment.finish(status);
  } catch (const std::exception& error) {
    const std::string where = environment.ranks() > 1 ? fmt::format("rank {}: ", environment.rank()) : "";
    std::cerr << "apam: " << where << describe_failure(error, "train") << std::endl;
    exchange::mpi::end_job(1);  // the others may be waiting for this rank
  }
}

}  // namespace apam::cli
