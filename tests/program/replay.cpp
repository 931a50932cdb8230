// Replays an asynchronous run: its recorded order of arrival, through the scripted transport, in one process.
//
//   replay RUN_FOLDER [options of the run]     prints the SHA-256 of the state that it ends with
#include <CLI/CLI.hpp>
#include <deque>
#include <fstream>
#include <iostream>

#include "apam/training/net_gradient_source.h"
#include "apam/training/options.h"
#include "apam/training/run_plan.h"
#include "apam/exchange/local/scripted.h"
#include "apam/exchange/master.h"
#include "apam/training/run_folder.h"
#include "nets/weight_file.h"

namespace apam::commands {
namespace {

class NoObserver final : public exchange::Observer {
 public:
  void on_update(const exchange::UpdateRecord& /*record*/) override {}
  void on_snapshot(std::int64_t /*update*/, double /*at*/, In /*state*/) override {}
};

class NoControl final : public exchange::Control {
 public:
  double now() override { return 0; }
  int stop_signal() override { return 0; }
};

/// The worker of every update, as metrics.jsonl tells it.
std::vector<std::vector<int>> arrivals(const std::filesystem::path& run) {
  std::ifstream file(run / "metrics.jsonl");
  std::vector<std::vector<int>> order;
  for (std::string line; std::getline(file, line);) {
    const auto json = run::Json::parse(line);
    if (json["event"] != "train") continue;
    for (const int worker : json["workers"]) order.push_back({worker});
  }
  return order;
}

/// A worker's own copy of the model, and its gradients.
struct Worker {
  explicit Worker(const Plan& plan)
      : exec(plan.exec), arena(exec.device(), plan.net->layout()), source(exec, *plan.net, arena, plan.train, {}) {}

  Exec exec;
  engine::ParameterArena arena;
  NetGradientSource source;
};

std::string replay(const std::filesystem::path& run, const TrainOptions& options) {
  const auto order = arrivals(run);
  int workers = 0;
  for (const auto& together : order) workers = std::max(workers, together.front() + 1);
  const std::array alone{cores_of_this_rank(true)};
  const Plan plan = make_plan(options, make_crew(options, alone, 0));

  std::deque<Worker> each;
  std::vector<exchange::GradientSource*> sources;
  for (int i = 0; i < workers; ++i) sources.push_back(&each.emplace_back(plan).source);
  exchange::ScriptedTransport transport(sources, order);

  Exec exec(plan.exec);
  const engine::ParameterArena arena(exec.device(), plan.net->layout(), engine::ParameterArena::Contents::state);
  first_weights(options, exec, arena);
  exchange::Updater updater(exec, arena, plan.optimizer);
  NoObserver observer;
  NoControl control;
  exchange::Master(updater, workers, plan.schedule, observer).run(transport, control);
  return nets::state_sha256(arena);
}

}  // namespace
}  // namespace apam::commands

int main(int argc, char** argv) {
  CLI::App app("replays an asynchronous run", "replay");
  std::string folder;
  apam::commands::TrainOptions options;
  app.add_option("RUN", folder)->required();
  apam::commands::add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  std::cout << apam::commands::replay(folder, options) << std::endl;
}
