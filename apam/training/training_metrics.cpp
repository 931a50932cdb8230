#include "apam/training/training_metrics.h"

#include <algorithm>
#include <utility>

#include "apam/training/event_order.h"
#include "apam/training/saved_metrics.h"

namespace apam::training {

TrainingMetrics::TrainingMetrics(const Options& options, Evaluator& evaluator, RunFolder& folder, Progress& progress)
    : options_(options),
      evaluator_(evaluator),
      folder_(folder),
      progress_(progress),
      staleness_(options.roles.workers),
      last_epoch_(static_cast<std::size_t>(std::min(options.epochs.updates_of(1), options.total_updates))),
      epochs_(options.epochs, options.total_updates, folder) {}

template <class Write>
void TrainingMetrics::write_or_note(const Write& write) {
  if (!failure_.empty()) return;
  try {
    write();
  } catch (const InputError& error) {
    failure_ = error.what();
    progress_.note(fmt::format("apam: {}; training continues, the run folder gets no more lines", failure_));
  }
}

void TrainingMetrics::add_metrics(const Json& line) {
  write_or_note([&] { folder_.add_metrics(line); });
}

void TrainingMetrics::on_events(std::span<const exchange::Event> events) {
  if (!options_.records_order) return;
  const exchange::RecordedCall call = exchange::recorded(events);
  if (!call.empty()) order_.append(order_line(call)).append("\n");
}

/// Whole calls: with the lines of metrics.jsonl, and before a checkpoint.
void TrainingMetrics::write_order() {
  if (order_.empty()) return;
  order_.pop_back();
  write_or_note([&] { folder_.add_order(order_); });
  order_.clear();
}

void TrainingMetrics::on_update(const exchange::UpdateRecord& record) {
  folder_.start();
  const double at = training_seconds(record.at);
  update_ = record.update;
  last_update_at_ = at;
  last_rate_ = record.rate;
  staleness_.record(record.worker, record.staleness, record.publish_lag);
  last_epoch_[static_cast<std::size_t>(record.update) % last_epoch_.size()] = record.header;
  if (options_.roles.workers > 1) {
    arrivals_.push_back(record.worker);
    places_.push_back(record.place);
  }
  if (!record.ranks.empty()) ranks_.push_back(record.ranks);
  line_.add(record);
  recent_.add(record);
  steady_.add(record);
  const int workers = options_.roles.workers;
  if (record.update == workers && options_.total_updates > workers) steady_ = UpdateSums{.begin = at};
  if (record.update % options_.log_every == 0 || options_.epochs.ends_at(record.update) ||
      record.update == options_.total_updates) {
    end_line();
  }
  write_or_note([&] { epochs_.add(record, at); });
  log_evaluations();
  if (progress_.due(at)) show(record.update, at);
}

void TrainingMetrics::on_snapshot(const exchange::StateSnapshot& snapshot) {
  const std::int64_t update = snapshot.update;
  const double seconds = training_seconds(snapshot.at);
  const auto need = update == options_.total_updates ? Evaluator::Need::required : Evaluator::Need::optional;
  if (evaluator_.submit({update, seconds, snapshot.state, snapshot.version, snapshot.versions}, need)) {
    epochs_.announce_evaluation();
    submitted_ = update;
  } else {
    add_metrics({{"event", "evaluation left out"}, {"update", update}, {"epoch", epoch(update)}, {"seconds", seconds}});
    progress_.note(fmt::format("update {}: no evaluation, {} earlier ones are not finished (a larger --eval-every would help)",
                               update, BackgroundEvaluator::kQueueLimit));
  }
  log_evaluations();
}

void TrainingMetrics::on_departure(const exchange::Departure& departure, double at) {
  const int rank = options_.roles.rank_of_worker(departure.worker);
  departed_ranks_.push_back(rank);
  if (update_ > 0) {  // before that nothing in the folder may change
    add_metrics({{"event", "departure"},
                 {"update", update_},
                 {"epoch", epoch(update_)},
                 {"seconds", training_seconds(at)},
                 {"worker", departure.worker},
                 {"why", json_text(departure.why)}});
  }
  progress_.note(
      fmt::format("apam: update {}: worker {} (rank {}) has left: {}", update_, departure.worker, rank, departure.why));
}

void TrainingMetrics::finish() {
  evaluator_.finish();
  log_evaluations();
  if (line_.updates > 0) end_line();
  if (update_ > 0) write_order();
  write_or_note([&] { epochs_.finish(); });
  progress_.close();
}

/// A line for the updates since the one before.
void TrainingMetrics::end_line() {
  const double at = last_update_at_;
  Json line{{"event", "train"},
            {"update", update_},
            {"epoch", epoch(update_)},
            {"seconds", at},
            {"lr", last_rate_},
            {"train_loss", line_.loss()},
            {"train_accuracy", line_.accuracy()},
            {"train_top5", line_.top5_accuracy()},
            {"images_per_second", line_.images_per_second(at)},
            {"staleness_mean", line_.staleness()},
            {"staleness_max", line_.staleness_max}};
  if (options_.computes_ahead) {
    line["publish_lag_mean"] = line_.publish_lag();
    line["publish_lag_max"] = line_.lag_max;
  }
  if (options_.roles.workers > 1) {
    line["workers"] = std::exchange(arrivals_, {});
    line["places"] = std::exchange(places_, {});
  }
  if (!ranks_.empty()) line["ranks"] = std::exchange(ranks_, {});
  add_metrics(line);
  line_ = UpdateSums{.begin = at};
  write_order();
}

void TrainingMetrics::log_evaluations() {
  for (const Evaluation& evaluation : evaluator_.collect()) {
    Json line{{"event", "evaluation"},
              {"update", evaluation.update},
              {"epoch", epoch(evaluation.update)},
              {"seconds", evaluation.at},
              {"test_loss", evaluation.scores.loss},
              {"test_accuracy", evaluation.scores.accuracy},
              {"test_top5", evaluation.scores.top5},
              {"images", evaluation.scores.images},
              {"evaluation_seconds", evaluation.scores.seconds}};
    if (!evaluation.versions.empty()) line["versions"] = evaluation.versions;
    add_metrics(line);
    write_or_note([&] { epochs_.add(evaluation); });
    evaluated_ = evaluation.update;
    if (evaluation.scores.finite()) last_evaluation_ = evaluation;
  }
}

void TrainingMetrics::show(std::int64_t update, double at) {
  Status status{.epoch = epoch(update),
                .epochs = epoch(options_.total_updates),
                .update = update,
                .updates = options_.total_updates,
                .seconds = at,
                .images_per_second = recent_.images_per_second(at),
                .loss = recent_.loss(),
                .staleness_mean = recent_.staleness(),
                .staleness_max = recent_.staleness_max,
                .stale = options_.roles.workers > 1 || options_.delayed || staleness_.max() > 0};
  if (last_evaluation_) {
    status.test_accuracy = last_evaluation_->scores.accuracy;
    status.test_top5 = last_evaluation_->scores.top5;
  }
  if (update >= options_.roles.workers && steady_.updates > 0) {
    const double left = static_cast<double>(options_.total_updates - update) / static_cast<double>(steady_.updates);
    status.seconds_left = left * (at - steady_.begin);
  }
  progress_.show(status);
  recent_ = UpdateSums{.begin = at};
}

void TrainingMetrics::on_rest(const exchange::RestPoint& point) {
  if (checkpoints_ == nullptr || !failure_.empty() || !checkpoints_->due(point)) return;
  if (line_.updates > 0) end_line();
  write_order();
  log_evaluations();
  checkpoints_->write(point, state());
}

Json TrainingMetrics::state() const {
  Json headers = Json::array();
  for (const exchange::GradientHeader& header : last_epoch_) {
    headers.push_back({saved::number(header.loss_sum), header.rows, header.top1, header.top5});
  }
  return {{"seconds", last_update_at_},
          {"lr", last_rate_},
          {"departed", departed_before_ + std::ssize(departed_ranks_)},
          {"staleness", saved::to_json(staleness_.sums())},
          {"steady", saved::to_json(steady_)},
          {"last_epoch", headers},
          {"last_evaluation", last_evaluation_ ? saved::to_json(*last_evaluation_) : Json()},
          {"is_evaluated", submitted_ != update_ || evaluated_ == update_},
          {"epochs", epochs_.state()}};
}

void TrainingMetrics::resume(const Checkpoint& checkpoint, ConstSpan<float> state) {
  const Json& saved = checkpoint.metrics;
  update_ = checkpoint.update;
  bool evaluates = false;
  try {
    seconds_before_ = last_update_at_ = saved.at("seconds");
    last_rate_ = saved.at("lr");
    departed_before_ = saved.at("departed");
    staleness_.resume(saved::staleness_from(saved.at("staleness")));
    steady_ = saved::sums_from(saved.at("steady"));
    const Json& headers = saved.at("last_epoch");
    for (std::size_t i = 0; i < last_epoch_.size(); ++i) {
      last_epoch_[i].loss_sum = saved::number_from(headers.at(i).at(0));
      last_epoch_[i].rows = headers.at(i).at(1);
      last_epoch_[i].top1 = headers.at(i).at(2);
      last_epoch_[i].top5 = headers.at(i).at(3);
    }
    if (!saved.at("last_evaluation").is_null()) last_evaluation_ = saved::evaluation_from(saved.at("last_evaluation"));
    evaluates = !saved.at("is_evaluated").get<bool>();
    epochs_.resume(saved.at("epochs"), evaluates ? update_ : -1);
  } catch (const Json::exception& error) {
    fail<InputError>("checkpoint of update {}: its metrics: {}", update_, error.what());
  }
  line_ = recent_ = UpdateSums{.begin = seconds_before_};
  if (evaluates) on_snapshot({.update = update_, .at = 0, .state = state});
}

RunSummary TrainingMetrics::summary() const {
  RunSummary summary{.updates = update_,
                     .seconds = last_update_at_,
                     .images_per_second = steady_.images_per_second(last_update_at_),
                     .last_evaluation = last_evaluation_,
                     .departed = departed_before_ + std::ssize(departed_ranks_),
                     .staleness = staleness_};
  UpdateSums last;
  for (const exchange::GradientHeader& header : last_epoch_) last.add({.header = header});
  if (last.rows > 0) {
    summary.train_loss = last.loss();
    summary.train_accuracy = last.accuracy();
    summary.train_top5 = last.top5_accuracy();
  }
  return summary;
}

}  // namespace apam::training
