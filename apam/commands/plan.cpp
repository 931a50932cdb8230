#include "apam/commands/plan.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "apam/commands/report.h"
#include "apam/commands/setup.h"
#include "data/sanity_check.h"
#include "kernels/runtime/cores.h"
#include "nets/weight_file.h"

namespace apam::commands {
namespace {

engine::OptimizerOptions optimizer_options(const TrainOptions& options) {
  return {.rule = engine::parse_rule(options.optimizer),
          .learning_rate = options.learning_rate,
          .beta1 = options.beta1,
          .beta2 = options.beta2,
          .eps = options.eps,
          .weight_decay = options.weight_decay};
}

data::BatchOptions batch_options(const TrainOptions& options) {
  return {.split = data::Split::train,
          .batch = options.batch,
          .order = data::parse_order(options.order),
          .augmentation = data::parse_augmentation(options.augment),
          .seed = options.seed};
}

exchange::Schedule make_schedule(const TrainOptions& options, std::int64_t per_epoch) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  const std::int64_t epochs = options.epochs.value_or(1);
  require<UsageError>(epochs <= most / per_epoch, "--epochs {}: of {} updates each, these are too many", epochs, per_epoch);
  exchange::Schedule schedule{.total_updates = epochs * per_epoch};
  if (options.max_updates > 0) {
    const bool alone = !options.epochs.has_value();
    schedule.total_updates = alone ? options.max_updates : std::min(schedule.total_updates, options.max_updates);
  }
  schedule.keep_going = options.keep_going;
  schedule.snapshot_every = options.eval_every > 0 ? options.eval_every : per_epoch;
  return schedule;
}

}  // namespace

exchange::RankCores cores_of_this_rank(bool computes) { return {host_name(), process_cores(), computes}; }

Crew make_crew(const TrainOptions& options, std::span<const exchange::RankCores> ranks, int rank) {
  const int asked = options.machine.threads;
  const int count = static_cast<int>(ranks.size());
  const exchange::RankCores& mine = ranks[static_cast<std::size_t>(rank)];
  Crew crew{.ranks = count, .workers = options.exchange == "async" ? count - 1 : 1};
  crew.threads_by_rank = exchange::threads_of_ranks(ranks, asked);
  for (const auto& each : ranks) crew.hosts.push_back(each.host);
  int most = 1, here = 0;  // of the ranks that compute; their sum on this host
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    if (!ranks[r].computes) continue;
    most = std::max(most, crew.threads_by_rank[r]);
    if (ranks[r].host == mine.host) here += crew.threads_by_rank[r];
  }
  const int threads = crew.threads_by_rank[static_cast<std::size_t>(rank)];
  crew.threads = mine.computes ? threads : most;
  crew.master_threads = mine.computes ? 1 : threads;
  crew.eval_threads = options.exchange == "local" ? crew.threads : 1;
  const int cores = mine.cores.count();
  crew.all_threads = asked > 0 ? std::max(asked, std::min(here, cores)) : std::max(cores, crew.eval_threads);
  if (options.eval_threads > 0) crew.eval_threads = crew.all_threads = options.eval_threads;
  return crew;
}

Plan make_plan(const TrainOptions& options, const Crew& crew) {
  Plan plan;
  plan.crew = crew;
  plan.exec = exec_options(options.machine, crew.threads);
  const auto batches = checking_usage([&] {
    plan.optimizer = optimizer_options(options);
    const engine::Optimizer check(Device{}, 0, plan.optimizer);
    return batch_options(options);
  });
  const auto dataset = open_data(options.data, options.net);
  plan.net = make_net(options.net, *dataset);
  plan.warnings = data::sanity_warnings(*dataset);
  const data::DatasetInfo& info = dataset->info();
  require<UsageError>(options.batch <= info.train_images, "--batch {}: {} has {} training images", options.batch, info.name,
                      info.train_images);
  plan.train = std::make_shared<const data::Batches>(dataset, batches);
  plan.test = test_batches(dataset, options.eval_batch);
  plan.schedule = make_schedule(options, plan.train->per_epoch());
  return plan;
}

std::string output_folder(const TrainOptions& options) {
  if (!options.out.empty()) return options.out;
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("runs/{}-{}-{}-{:%Y%m%d-%H%M%S}", options.net.name, options.data.name, options.exchange, local);
}

run::Existing existing_folder(const TrainOptions& options) {
  if (options.out.empty()) return run::Existing::pass_over;
  return options.overwrite ? run::Existing::replace : run::Existing::refuse;
}

std::int64_t first_weights(const TrainOptions& options, Exec& exec, const engine::ParameterArena& arena) {
  arena.initialize(options.seed);
  if (options.init.empty()) return 0;
  const auto loaded = nets::load_weights(options.init, arena);
  if (!options.keep_going) require_finite(exec, arena, options.init);
  return loaded.batches_tracked.value_or(0);
}

}  // namespace apam::commands
