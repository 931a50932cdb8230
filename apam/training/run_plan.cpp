#include "apam/training/run_plan.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <utility>

#include "apam/exchange/artificial_delay.h"
#include "apam/exchange/local/direct.h"
#include "apam/training/evaluator.h"
#include "apam/training/usage_error.h"
#include "data/sanity_check.h"
#include "kernels/runtime/available_memory.h"
#include "nets/weight_file.h"

namespace apam::training {
namespace {

engine::OptimizerOptions optimizer_options(const TrainOptions& options) {
  for (const auto& [name, value] : {std::pair("--beta1", options.beta1), {"--beta2", options.beta2}, {"--eps", options.eps}}) {
    require<UsageError>(!value || options.optimizer != "sgd", "{} {}: is for --optimizer amsgrad and adam, got sgd", name,
                        value.value_or(0));
  }
  const bool sgd = options.optimizer == "sgd";
  const double momentum = options.momentum.value_or(0);
  require<UsageError>(sgd || !options.momentum, "--momentum {}: is for --optimizer sgd, got {}", momentum, options.optimizer);
  require<UsageError>(sgd || !options.nesterov, "--nesterov: is for --optimizer sgd, got {}", options.optimizer);
  require<UsageError>(momentum != 0 || !options.nesterov, "--nesterov: needs --momentum above 0, got {}", momentum);
  using Rule = kernels::OptimizerStep::Rule;
  const Rule with_momentum = options.nesterov ? Rule::nesterov : Rule::momentum;
  const engine::OptimizerOptions defaults;
  return {.rule = momentum != 0 ? with_momentum : engine::parse_rule(options.optimizer),
          .learning_rate = options.learning_rate,
          .beta1 = options.beta1.value_or(defaults.beta1),
          .beta2 = options.beta2.value_or(defaults.beta2),
          .eps = options.eps.value_or(defaults.eps),
          .weight_decay = options.weight_decay,
          .momentum = momentum};
}

/// --lr-schedule, for a run of `total` updates.
engine::RateSchedule rate_schedule(const TrainOptions& options, const exchange::Epochs& epochs, std::int64_t total) {
  require<UsageError>(options.warmup_updates <= total, "--warmup-updates {}: the run has {} updates, expected at most as many",
                      options.warmup_updates, total);
  engine::RateSchedule schedule{
      .decay = engine::parse_decay(options.lr_schedule), .warmup_updates = options.warmup_updates, .total_updates = total};
  const bool steps = schedule.decay == engine::RateSchedule::Decay::step;
  require<UsageError>(steps == options.lr_step_epochs.has_value(), "--lr-schedule {}: {} --lr-step-epochs", options.lr_schedule,
                      steps ? "needs" : "has no");
  require<UsageError>(steps || !options.lr_step_factor, "--lr-schedule {}: has no --lr-step-factor", options.lr_schedule);
  if (steps) {
    const std::int64_t step = *options.lr_step_epochs;
    require<UsageError>(step <= std::numeric_limits<std::int64_t>::max() / epochs.batches,
                        "--lr-step-epochs {}: too many, at {} batches each", step, epochs.batches);
    schedule.step_updates = epochs.updates_of(step);
    schedule.step_factor = options.lr_step_factor.value_or(0.1);
  }
  return schedule;
}

/// The versions of the state that are in memory: those of --max-delay, those of asynchronous training, or one that is updated
/// in place.
exchange::HistoryLayout history_layout(const TrainOptions& options, const RunPlan& plan) {
  const engine::ParameterLayout& model = plan.net->layout();
  const std::size_t weights = model.weights_size(), statistics = model.statistics_size();
  require<UsageError>(options.max_delay == 1 || options.exchange == "local", "--max-delay {}: is for --exchange local, got {}",
                      options.max_delay, options.exchange);
  if (options.max_delay > 1) return exchange::ArtificialDelay::history(weights, statistics, options.max_delay);
  if (options.exchange != "async") return exchange::in_place(model);
  return {weights, statistics, 1,
          exchange::HistoryLayout::slots_for(plan.budget.roles.workers, BackgroundEvaluator::kMostVersions,
                                             plan.versions_per_worker)};
}

void require_memory(const TrainOptions& options, Device device, const exchange::HistoryLayout& history) {
  if (options.max_delay == 1) return;
  const std::size_t bytes = history.bytes();
  const auto available = device.kind == DeviceKind::cpu ? available_memory() : std::nullopt;
  require<DeviceError>(!available || bytes <= *available,
                       "--max-delay {}: {} versions of {} floats need {:.1f} MiB of memory, {:.1f} MiB are available",
                       options.max_delay, options.max_delay, history.state(), in_mib(bytes), in_mib(available.value_or(0)));
}

/// The ranks of a host take its GPUs in turn.
Device gpu_of_rank(int rank_on_host) {
  const int gpus = static_cast<int>(gpu_names().size());
  return {DeviceKind::cuda, gpus > 0 ? rank_on_host % gpus : 0};
}

data::BatchOptions batch_options(const TrainOptions& options) {
  return {.split = data::Split::train,
          .batch = options.batch,
          .order = data::parse_order(options.order),
          .augmentation = data::parse_augmentation(options.augment),
          .seed = options.seed};
}

/// Null for `none` without a warm-up.
std::shared_ptr<const exchange::StalenessPolicy> make_staleness_policy(const TrainOptions& options, int workers) {
  const exchange::PolicyOptions policy{.name = options.staleness_policy,
                                       .bound = options.staleness_bound,
                                       .gradients = options.staleness_gradients,
                                       .factor = options.staleness_factor,
                                       .warmup_updates = options.sync_warmup,
                                       .warmup_gradients = options.sync_warmup > 0 ? workers : 1};
  const bool none = policy.name == "none" && policy.warmup_updates == 0;
  require<UsageError>(options.sync_warmup == 0 || options.exchange == "async",
                      "--sync-warmup {}: is for --exchange async, got {}", options.sync_warmup, options.exchange);
  require<UsageError>(none || options.exchange == "async", "--staleness-policy {}: is for --exchange async, got {}",
                      policy.name, options.exchange);
  auto made = checking_usage([&] { return exchange::make_policy(policy); });
  return none ? nullptr : std::move(made);
}

/// Batches, updates and snapshots. An epoch has `per_epoch` batches.
void plan_schedule(RunPlan& plan, const TrainOptions& options, std::int64_t per_epoch) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  const exchange::StalenessPolicy& policy = exchange::policy_or_none(plan.policy.get());
  const std::int64_t epochs = options.epochs.value_or(1);
  require<UsageError>(epochs <= most / per_epoch, "--epochs {}: too many, at {} updates each", epochs, per_epoch);
  plan.batches = epochs * per_epoch;
  if (options.max_updates > 0) {
    const std::int64_t per_update = std::max(policy.gradients_per_update(1), policy.gradients_per_update(most));
    require<UsageError>(options.max_updates <= most / per_update, "--max-updates {}: too many, at {} batches each",
                        options.max_updates, per_update);
    const bool only_limit = !options.epochs.has_value();
    const std::int64_t limit = policy.batches_of(options.max_updates);
    plan.batches = only_limit ? limit : std::min(plan.batches, limit);
  }
  plan.schedule.total_updates = policy.updates_of(plan.batches);
  plan.epochs = {.batches = per_epoch,
                 .batches_per_update = policy.gradients_per_update(most),
                 .warmup_updates = options.sync_warmup,
                 .batches_per_warmup_update = policy.gradients_per_update(1),
                 .all_batches = plan.batches};
  plan.schedule.keep_going = options.keep_going;
  plan.schedule.snapshot_every = options.eval_every;
  if (options.eval_every == 0) plan.schedule.snapshot_epochs = plan.epochs;
}

/// Options that only one exchange has.
void check_exchange(const TrainOptions& options) {
  const bool async = options.exchange == "async";
  require<UsageError>(options.exchange != "local" || options.transport == "auto",
                      "--transport {}: is for --exchange async and sync, got local", options.transport);
  require<UsageError>(options.transport != "nccl" || (options.exchange == "sync" && options.sync_backup == 0),
                      "--transport nccl: is for --exchange sync without --sync-backup, got {} with --sync-backup {}",
                      options.exchange, options.sync_backup);
  require<UsageError>(options.wire == "float32" || (async && options.transport == "mpi"),
                      "--wire {}: is for --exchange async with --transport mpi, got {} with {}", options.wire, options.exchange,
                      options.transport);
  require<UsageError>(!options.prefetch_weights || async, "--prefetch-weights: is for --exchange async, got {}",
                      options.exchange);
  require<UsageError>(!options.prefetch_weights || options.transport != "shared",
                      "--prefetch-weights: is for messages between ranks, got --transport shared, where a reply takes no time");
  const bool backup = options.sync_backup > 0;
  require<UsageError>(!backup || options.exchange == "sync", "--sync-backup {}: is for --exchange sync, got {}",
                      options.sync_backup, options.exchange);
  require<UsageError>(options.exchange != "local" || options.eval_threads == 0,
                      "--eval-threads {}: is for --exchange async and sync, got local", options.eval_threads);
  require<UsageError>(async || options.master_threads == 0, "--master-threads {}: is for --exchange async, got {}",
                      options.master_threads, options.exchange);
  require<UsageError>(async || options.masters == 1, "--masters {}: is for --exchange async, got {}", options.masters,
                      options.exchange);
  require<UsageError>(async || !options.colocate, "--colocate: is for --exchange async, got {}", options.exchange);
  const bool checkpoints = options.resume || options.checkpoint_every.value_or(0) > 0;
  require<UsageError>(!checkpoints || (options.masters == 1 && !backup),
                      "{}: is for one master, or sync without backup ranks, got --masters {} and --sync-backup {}",
                      options.resume ? "--resume" : "--checkpoint-every", options.masters, options.sync_backup);
  require<UsageError>(!options.resume || !options.overwrite, "--resume: continues the run in {}, which --overwrite replaces",
                      options.out);
  const bool free = options.master_order == "free";
  require<UsageError>(!free || options.masters > 1, "--master-order free: is for --masters 2 or more, got {}", options.masters);
  require<UsageError>(!free || options.transport != "shared",
                      "--master-order free: is for messages between ranks, got --transport shared");
}

/// --bn recalibrate: the first images in the order of the first epoch, without augmentation, in batches as large as its.
void plan_calibration(RunPlan& plan, const TrainOptions& options, const std::shared_ptr<const data::Dataset>& dataset) {
  const bool recalibrates = options.bn == "recalibrate";
  require<UsageError>(recalibrates || !options.bn_images, "--bn-images {}: is for --bn recalibrate, got {}",
                      options.bn_images.value_or(0), options.bn);
  if (!recalibrates) return;
  require<UsageError>(plan.net->layout().statistics_size() > 0, "--bn recalibrate: {} has no running statistics of batch norm",
                      options.net.name);
  constexpr std::int64_t kImages = 10'000;
  const std::int64_t images = std::min(options.bn_images.value_or(kImages), dataset->info().train_images);
  plan.calibration_batches = std::max<std::int64_t>(1, images / options.batch);
  plan.calibration = std::make_shared<const data::Batches>(
      dataset,
      data::BatchOptions{
          .split = data::Split::train, .batch = options.batch, .augmentation = data::kNoAugmentation, .seed = options.seed});
}

/// Synchronous ranks: every rank needs an image of a whole batch. Backup ranks: an update needs a rank, and every gradient an
/// image of any batch.
void check_shares(const TrainOptions& options, int ranks, const data::Batches& batches) {
  if (options.exchange != "sync") return;
  if (options.sync_backup == 0) {
    require<UsageError>(options.batch >= ranks,
                        "--batch {}: --exchange sync divides it among {} ranks, expected one image each", options.batch, ranks);
    return;
  }
  require<UsageError>(options.sync_backup < ranks, "--sync-backup {}: of {} ranks, expected at most {}", options.sync_backup,
                      ranks, ranks - 1);
  const std::int64_t gradients = ranks - options.sync_backup;
  const std::int64_t rows = batches.rows(batches.per_epoch() - 1);  // only the last batch of an epoch may be short
  require<UsageError>(rows >= gradients, "--sync-backup {}: a batch has {} images for {} gradients, expected one each or more",
                      options.sync_backup, rows, gradients);
}

}  // namespace

RunPlan make_run_plan(const TrainOptions& options, const ThreadBudget& budget, const PackObserver& observer) {
  check_exchange(options);
  RunPlan plan;
  plan.budget = budget;
  plan.exec = exec_options(options.machine, budget.threads);
  if (options.machine.device == "cuda") plan.exec.device = gpu_of_rank(budget.rank_on_host);
  require<UsageError>(!options.prefetch_weights || plan.exec.device.kind == DeviceKind::cpu,
                      "--prefetch-weights: is for --device cpu, got {}", to_string(plan.exec.device));
  require<UsageError>(!options.colocate || plan.exec.device.kind == DeviceKind::cpu, "--colocate: is for --device cpu, got {}",
                      to_string(plan.exec.device));
  require<UsageError>(options.sync_backup == 0 || plan.exec.device.kind == DeviceKind::cpu,
                      "--sync-backup {}: is for --device cpu, got {}", options.sync_backup, to_string(plan.exec.device));
  require<UsageError>(options.masters == 1 || plan.exec.device.kind == DeviceKind::cpu,
                      "--masters {}: several masters are for --device cpu, got {}", options.masters,
                      to_string(plan.exec.device));
  plan.machines = {this_machine(plan.exec.device)};
  const auto batches = checking_usage([&] {
    plan.optimizer = optimizer_options(options);
    const engine::Optimizer check(Device{}, 0, plan.optimizer);
    return batch_options(options);
  });
  const auto dataset = open_data(options.data, options.net, observer);
  plan.net = make_net(options.net, *dataset);
  plan.warnings = data::sanity_warnings(*dataset);
  plan.train_hashes = hashes_of(*dataset, data::Split::train);
  plan.test_hashes = hashes_of(*dataset, data::Split::test);
  const data::DatasetInfo& info = dataset->info();
  require<UsageError>(options.batch <= info.train_images, "--batch {}: {} has {} training images", options.batch, info.name,
                      info.train_images);
  plan.train = std::make_shared<const data::Batches>(dataset, batches);
  check_shares(options, budget.ranks, *plan.train);
  if (options.sync_backup > 0) plan.gradients_per_update = budget.ranks - options.sync_backup;
  plan.evaluation = evaluation_batches(dataset, options.eval_split, options.eval_batch);
  plan_calibration(plan, options, dataset);
  plan.policy = make_staleness_policy(options, budget.roles.workers);
  require<UsageError>(options.master_order == "sequenced" || exchange::policy_or_none(plan.policy.get()).applies_all(),
                      "--master-order free: every master applies every gradient, got --staleness-policy {}{}",
                      options.staleness_policy,
                      options.sync_warmup > 0 ? fmt::format(" with --sync-warmup {}", options.sync_warmup) : "");
  plan_schedule(plan, options, plan.train->per_epoch());
  plan.optimizer.schedule = rate_schedule(options, plan.epochs, plan.schedule.total_updates);
  checking_usage([&] { const engine::Optimizer check(Device{}, 0, plan.optimizer); });
  // To compensate, the version of a gradient is kept; computed ahead, it is not the one that its worker was sent last.
  plan.versions_per_worker = options.prefetch_weights && plan.policy && plan.policy->compensation() != 0 ? 2 : 1;
  plan.history = history_layout(options, plan);
  if (options.exchange == "async") {
    const std::size_t weights = plan.history.weights, statistics = plan.history.statistics;
    plan.shards = checking_usage([&] { return exchange::split_state(weights, statistics, options.masters); });
  }
  plan.delayed = options.max_delay > 1;
  require_memory(options, plan.exec.device, plan.history);
  return plan;
}

std::string output_folder(const TrainOptions& options) {
  if (!options.out.empty()) return options.out;
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("runs/{}-{}-{}-{:%Y%m%d-%H%M%S}", options.net.name, options.data.name, options.exchange, local);
}

Existing existing_folder(const TrainOptions& options) {
  if (options.out.empty()) return Existing::next_free;
  return options.overwrite || options.resume ? Existing::replace : Existing::refuse;
}

InitialWeights load_initial_weights(const TrainOptions& options, Exec& exec, const engine::ParameterArena& arena) {
  arena.initialize(options.seed);
  if (options.init.empty()) return {};
  const auto loaded = nets::load_weights(options.init, arena);
  if (!options.keep_going) require_finite(exec, arena, options.init);
  return {loaded.batches_tracked.value_or(0), nets::sha256_of(arena).state};
}

}  // namespace apam::training
