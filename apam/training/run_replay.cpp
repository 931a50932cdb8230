#include "apam/training/run_replay.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "apam/training/thread_budget.h"

namespace apam::training {
namespace {

using exchange::RecordedCall;
using Kind = exchange::RecordedEvent::Kind;

bool is_start(const RecordedCall& call) { return !call.empty() && call.front().kind == Kind::start; }

/// Of any start.
int most_workers(const std::vector<std::vector<int>>& threads) {
  std::size_t most = 0;
  for (const std::vector<int>& of_workers : threads) most = std::max(most, of_workers.size());
  return static_cast<int>(most);
}

/// One master makes the updates of several.
TrainOptions with_one_master(TrainOptions options) {
  options.masters = 1;
  options.colocate = false;
  return options;
}

RunPlan plan_of(const TrainOptions& options, int workers, const PackObserver& observer) {
  const std::array this_process{cores_of_this_rank(options, true)};
  ThreadBudget budget = make_thread_budget(options, this_process, 0);
  budget.roles.workers = workers;
  return make_run_plan(options, budget, observer);
}

/// `where`: what has the value `here`.
void require_same(const RecordedRun& run, const char* key, const Json& here, const std::string& where = "of the data found") {
  const Json recorded = run.config.value(key, Json());
  require<InputError>(recorded == here, "replay: {}: {} is {}, {} it is {}", (run.folder / "config.json").string(), key,
                      recorded.dump(), where, here.dump());
}

}  // namespace

RunReplay::RunReplay(const RecordedRun& run, Progress& progress, int jobs, const PackObserver& observer)
    : run_(run),
      progress_(progress),
      options_(with_one_master(run.options)),
      threads_(run.threads_of_workers()),
      plan_(plan_of(options_, most_workers(threads_), observer)) {
  const data::DatasetInfo& data = plan_.train->dataset().info();
  require_same(run, "train_images", data.train_images);
  require_same(run, "data_sha256", data.content_sha256.empty() ? Json() : Json(data.content_sha256));
  require_same(run, "train_labels_hash", plan_.train_hashes.labels);
  require_same(run, "train_pixels_hash", plan_.train_hashes.pixels);
  const bool cpu = plan_.exec.device.kind == DeviceKind::cpu;
  require<InputError>(cpu || options_.wire == "float32",
                      "replay: --wire {} of a run on GPUs cannot be replayed, expected float32", options_.wire);
  const auto starts = static_cast<std::size_t>(std::ranges::count_if(run.calls, is_start));
  require<InputError>(starts == threads_.size() && is_start(run.calls.front()),
                      "{}: {} starts of {} in config.json, expected as many, and the first line to be one",
                      (run.folder / "order.jsonl").string(), starts, threads_.size());
  exec_.emplace(plan_.exec);
  arena_.emplace(exec_->device(), plan_.net->layout(), engine::ParameterArena::Contents::state);
  plan_.initial = load_initial_weights(options_, *exec_, *arena_);
  if (const auto& digest = plan_.initial.sha256) {
    require_same(run, "init_sha256", *digest, fmt::format("of --init {}", options_.init));
  }
  updater_.emplace(*exec_, *arena_, plan_.optimizer);
  pool_.emplace(plan_, run, threads_, jobs > 0 ? jobs : default_jobs());
}

int RunReplay::default_jobs() const {
  if (plan_.exec.device.kind == DeviceKind::cuda) return 1;
  int threads = 1;
  for (const std::vector<int>& of_workers : threads_) threads = std::max(threads, std::ranges::max(of_workers));
  return std::clamp(available_cores() / threads, 1, plan_.budget.roles.workers);
}

void RunReplay::run(std::optional<std::int64_t> until, const std::function<bool()>& gives_up) {
  for (const RecordedCall& call : run_.calls) {
    if (difference_ || gives_up() || (until && update_ >= *until)) break;
    if (is_start(call)) {
      begin(call.front().number);
    } else {
      exchange::replay(call, *master_, *workers_, *this, now());
    }
  }
  updater_->synchronize();
  if (history_) copy(history_->current().state(), arena_->state());  // else nothing has begun
  progress_.close();
}

/// The next master, with the updates of the one before.
void RunReplay::begin(int workers) {
  const std::vector<int>& threads = threads_.at(starts_++);
  require<InputError>(std::ssize(threads) == workers, "replay: {} workers start in order.jsonl, config.json has ranks for {}",
                      workers, threads.size());
  require<InputError>(options_.sync_warmup == 0 || workers == plan_.budget.roles.workers,
                      "replay: {} and {} workers at different starts, expected the same number with --sync-warmup", workers,
                      plan_.budget.roles.workers);
  const exchange::BatchProgress done = master_ ? master_->progress() : exchange::BatchProgress();
  if (history_) copy(history_->current().state(), arena_->state());
  workers_.reset();
  master_.reset();
  pool_->start(threads, *updater_);
  const auto& layout = plan_.net->layout();
  history_.emplace(exec_->device(), exchange::HistoryLayout{layout.weights_size(), layout.statistics_size(), 1,
                                                            exchange::HistoryLayout::slots_for(workers, 0, 2)});
  history_->publish_first(arena_->state(), update_);
  master_.emplace(*updater_, *history_,
                  exchange::MasterOptions{.workers = workers,
                                          .schedule = plan_.schedule,
                                          .policy = plan_.policy.get(),
                                          .batches = plan_.batches,
                                          .done = done,
                                          .ahead = options_.prefetch_weights});
  workers_.emplace(workers, options_.prefetch_weights, *pool_);
  begin_replay(*master_, *workers_, *this, now());
}

void RunReplay::on_update(const exchange::UpdateRecord& record) {
  update_ = record.update;
  const std::int64_t begin = update_ - line_.updates;
  line_.add(record);
  recent_.add(record);
  if (lines_ < run_.losses.size() && run_.losses[lines_].update == update_) {
    const double recorded = run_.losses[lines_].mean, here = line_.loss();
    if (!difference_ && here != recorded && !(std::isnan(here) && std::isnan(recorded))) {
      difference_ = {begin, update_, here, recorded};
    }
    ++lines_;
    line_ = {};
  }
  if (progress_.due(now())) show();
}

void RunReplay::show() {
  const double seconds = now();
  const std::int64_t all = run_.summary.is_null() ? plan_.schedule.total_updates : run_.summary.value("updates", update_);
  const double left = static_cast<double>(all - update_) / static_cast<double>(update_) * seconds;
  progress_.show({.epoch = plan_.epochs.at(update_),
                  .epochs = plan_.epochs.at(all),
                  .update = update_,
                  .updates = all,
                  .seconds = seconds,
                  .seconds_left = left,
                  .images_per_second = recent_.images_per_second(seconds),
                  .loss = recent_.loss(),
                  .staleness_mean = recent_.staleness(),
                  .staleness_max = recent_.staleness_max,
                  .stale = plan_.budget.roles.workers > 1});
  recent_ = UpdateSums{.begin = seconds};
}

}  // namespace apam::training
