// Set-up in three steps that all ranks take together: who is on which host, everything that can fail, agreement. Then the
// exchange; then every rank reports to rank 0, which has the result.
#include "apam/commands/train_ranks.h"

#include <algorithm>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "apam/commands/failure.h"
#include "apam/commands/net_gradient_source.h"
#include "apam/commands/recorder.h"
#include "apam/master.h"
#include "apam/mpi/all_reduce.h"
#include "apam/mpi/share_text.h"
#include "apam/mpi/transports.h"
#include "apam/synchronous.h"
#include "apam/worker.h"

namespace apam::commands {
namespace {

using exchange::mpi::Environment;

// More threads ask for other kernels; for fewer images, choosing those takes longer than they save.
constexpr std::int64_t kManyImages = 5000;

/// One who is not interested.
class NoObserver : public exchange::Observer {
 public:
  void on_update(const exchange::UpdateRecord& /*record*/) override {}
  void on_snapshot(std::int64_t /*update*/, In /*state*/) override {}
};

/// What a rank holds. Members are made in order, each from those before it.
struct Rank {
  Plan plan;
  std::optional<Exec> exec;
  std::optional<engine::ParameterArena> arena;
  std::optional<exchange::Updater> updater;  // those who apply updates
  std::optional<NetGradientSource> source;   // those who compute gradients
  std::unique_ptr<Recorder> recorder;        // rank 0
  std::int64_t batches_before = 0;           // rank 0
};

/// Ranks on this host that compute gradients.
int computing_here(const Environment& environment, bool has_master) {
  const std::string here = host_name();
  const auto hosts = exchange::mpi::share_text(environment, here);
  return static_cast<int>(std::count(hosts.begin() + (has_master ? 1 : 0), hosts.end(), here));
}

/// Everything that a rank can do on its own.
void set_up(Rank& rank, const Environment& environment, const TrainOptions& options, const Crew& crew) {
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
  rank.exec.emplace(plan.exec);
  using Contents = engine::ParameterArena::Contents;
  rank.arena.emplace(rank.exec->device(), plan.net->layout(), computes ? Contents::state_and_outgoing : Contents::state);
  if (updates) rank.updater.emplace(*rank.exec, *rank.arena, plan.optimizer);
  if (computes) {
    const std::int64_t parts = synchronous ? environment.ranks() : 1;
    const data::LoaderOptions loader{.threads = options.loader_threads, .rows = (options.batch + parts - 1) / parts};
    rank.source.emplace(*rank.exec, *plan.net, *rank.arena, plan.train, loader);
  }
  if (first) rank.batches_before = first_weights(options, *rank.arena);
}

/// Rank 0, when the set-up of every rank has succeeded.
void start_recording(Rank& rank, const TrainOptions& options, const CommandLine& command) {
  const Plan& plan = rank.plan;
  EvaluationsBeside::Options beside{.exec = plan.exec, .final_threads = plan.crew.eval_threads};
  beside.exec.threads = plan.crew.eval_threads;
  if (plan.test->images() >= kManyImages) beside.final_threads = plan.crew.all_threads;
  const auto beside_the_training = [&] {
    auto evaluations = std::make_unique<EvaluationsBeside>(beside, *plan.net, plan.test);
    evaluations->collect();  // throws what its start threw
    return evaluations;
  };
  rank.recorder = std::make_unique<Recorder>(options, plan, command, beside_the_training, nullptr);
}

/// Runs a step of the set-up and learns how it went on all ranks. The first mistake is printed once; returns 0 when there
/// is none, and the same status on all ranks when there is.
template <class Step>
int agree(const Environment& environment, Step&& step) {
  std::string mistake;
  char status = '0';
  try {
    step();
  } catch (const UsageError& error) {
    mistake = error.what();
    status = '2';
  } catch (const std::exception& error) {
    mistake = describe_failure(error, "train");
    status = '1';
  }
  const auto answers = exchange::mpi::share_text(environment, status + mistake);
  for (std::size_t r = 0; r < answers.size(); ++r) {
    if (answers[r][0] == '0') continue;
    const std::string where = r == 0 ? "" : fmt::format("rank {}: ", r);
    if (environment.rank() == 0) std::cerr << "apam: " << where << answers[r].substr(1) << std::endl;
    return answers[r][0] - '0';
  }
  return 0;
}

/// Runs the exchange to its end; returns the name of what carried it.
std::string exchange_gradients(Rank& rank, const Environment& environment, const TrainOptions& options) {
  const Plan& plan = rank.plan;
  if (options.exchange == "sync") {
    const auto all_reduce = exchange::mpi::make_all_reduce(environment);
    NoObserver nobody;
    exchange::Observer& observer = rank.recorder ? static_cast<exchange::Observer&>(rank.recorder->monitor()) : nobody;
    if (rank.recorder) rank.recorder->monitor().start();
    exchange::SynchronousTrainer(*all_reduce, *rank.updater, *rank.source, plan.schedule, observer).run();
    return std::string(all_reduce->name());
  }
  const engine::ParameterLayout& layout = plan.net->layout();
  const exchange::mpi::MessageSizes sizes{.contribution = layout.weights_size() + layout.statistics_size(),
                                          .weights = layout.weights_size()};
  if (!rank.recorder) {
    const auto transport = exchange::mpi::make_worker_transport(environment, sizes);
    exchange::Worker(*rank.source).run(*transport);
    return {};
  }
  const auto transport = exchange::mpi::make_master_transport(environment, sizes);
  exchange::Master master(*rank.updater, transport->workers(), plan.schedule, rank.recorder->monitor());
  rank.recorder->monitor().start();
  master.run(*transport);
  return std::string(transport->name());
}

}  // namespace

int train_ranks(const Environment& environment, const TrainOptions& options, const CommandLine& command) {
  const bool has_master = options.exchange == "async";
  const Crew crew = make_crew(options, environment.ranks(), computing_here(environment, has_master));
  Rank rank;
  if (const int status = agree(environment, [&] { set_up(rank, environment, options, crew); }); status != 0) return status;
  const auto record = [&] {
    if (environment.rank() == 0) start_recording(rank, options, command);
  };
  if (const int status = agree(environment, record); status != 0) return status;

  const std::string transport = exchange_gradients(rank, environment, options);
  std::vector<KernelReport> kernels = rank.exec->report();
  if (rank.recorder) {
    rank.recorder->save(*rank.arena, rank.batches_before);
    rank.recorder->monitor().finish();
    const auto more = rank.recorder->evaluations().kernels();
    kernels.insert(kernels.end(), more.begin(), more.end());
  }
  const auto texts = exchange::mpi::share_text(environment, report_process(std::move(kernels)).to_text());
  if (!rank.recorder) return 0;
  Recorder::End end{.transport = transport, .processes = {}};
  for (const auto& text : texts) end.processes.push_back(ProcessReport::from_text(text));
  rank.recorder->close(*rank.arena, std::move(end));
  return 0;
}

}  // namespace apam::commands
