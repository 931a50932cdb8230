// Replays the recorded arrival order of an asynchronous run in one process, through the scripted transport.
//
//   replay RUN_FOLDER [options of the run]     prints the SHA-256 of the final state
#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <fstream>
#include <iostream>

#include "apam/cli/options.h"
#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/local/scripted.h"
#include "apam/training/net_gradient_source.h"
#include "apam/training/run_plan.h"
#include "nets/weight_file.h"

namespace apam::training {
namespace {

/// The workers of the updates of every pass, from metrics.jsonl.
std::vector<std::vector<int>> arrivals(const std::filesystem::path& run) {
  std::ifstream file(run / "metrics.jsonl");
  std::vector<std::vector<int>> order;
  for (std::string line; std::getline(file, line);) {
    const auto json = Json::parse(line);
    if (json["event"] != "train") continue;
    for (std::size_t i = 0; i < json["workers"].size(); ++i) {
      if (json["places"][i] == 1) order.emplace_back();
      order.back().push_back(json["workers"][i]);
    }
  }
  return order;
}

/// A worker's own copy of the model, and its gradients.
struct Worker {
  explicit Worker(const RunPlan& plan)
      : exec(plan.exec), arena(exec.device(), plan.net->layout()), source(exec, *plan.net, arena, plan.train, {}) {}

  Exec exec;
  engine::ParameterArena arena;
  NetGradientSource source;
};

std::string replay(const std::filesystem::path& run, const TrainOptions& options) {
  const auto order = arrivals(run);
  int workers = 0;
  for (const auto& together : order) workers = std::max(workers, *std::max_element(together.begin(), together.end()) + 1);
  const std::array this_rank{cores_of_this_rank(true)};
  ThreadBudget budget = make_thread_budget(options, this_rank, 0);
  budget.roles.workers = workers;  // of the recorded run
  const RunPlan plan = make_run_plan(options, budget);

  std::deque<Worker> each;
  std::vector<exchange::GradientSource*> sources;
  std::deque<engine::ParameterArena> others;
  std::vector<Span<float>> seconds;
  for (int i = 0; i < workers; ++i) {
    sources.push_back(&each.emplace_back(plan).source);
    seconds.push_back(options.prefetch_weights ? others.emplace_back(Device{}, plan.net->layout()).outgoing() : Span<float>());
  }
  exchange::ScriptedTransport transport(sources, seconds, order);

  Exec exec(plan.exec);
  const engine::ParameterArena arena(exec.device(), plan.net->layout(), engine::ParameterArena::Contents::state);
  load_initial_weights(options, exec, arena);
  engine::Updater updater(exec, arena, plan.optimizer);
  exchange::IgnoreEvents observer;
  exchange::NullControl control;
  const auto& layout = plan.net->layout();
  exchange::WeightHistory history(
      exec.device(), {layout.weights_size(), layout.statistics_size(), 1, exchange::HistoryLayout::slots_for(workers, 0, 2)});
  history.publish_first(arena.state());
  exchange::MasterState master(updater, history,
                               {.workers = workers,
                                .schedule = plan.schedule,
                                .policy = plan.policy.get(),
                                .batches = plan.batches,
                                .ahead = options.prefetch_weights});
  run_master(master, transport, control, observer);
  copy(history.current().state(), arena.state());
  return nets::sha256_of(arena).state;
}

}  // namespace
}  // namespace apam::training

int main(int argc, char** argv) {
  CLI::App app("replays an asynchronous run", "replay");
  std::string folder;
  apam::training::TrainOptions options;
  app.add_option("RUN", folder)->required();
  apam::cli::add_options(app, apam::training::describe(options));
  CLI11_PARSE(app, argc, argv);
  std::cout << apam::training::replay(folder, options) << std::endl;
}
