#include "apam/training/training_metrics.h"

#include <algorithm>
#include <utility>

namespace apam::training {

TrainingMetrics::TrainingMetrics(const Options& options, Evaluator& evaluator, RunFolder& folder, Progress& progress)
    : options_(options),
      evaluator_(evaluator),
      folder_(folder),
      progress_(progress),
      staleness_(options.roles.workers),
      last_epoch_(static_cast<std::size_t>(std::min(options.epochs.updates, options.total_updates))),
      epochs_(options.epochs, options.total_updates, folder) {}

void TrainingMetrics::on_update(const exchange::UpdateRecord& record) {
  folder_.start();
  const double at = training_seconds(record.at);
  update_ = record.update;
  last_update_at_ = at;
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
  if (record.update % options_.log_every == 0 || record.update % options_.epochs.updates == 0 ||
      record.update == options_.total_updates) {
    log_updates(record, at);
  }
  epochs_.add(record, at);
  log_evaluations();
  if (progress_.due(at)) show(record.update, at);
}

void TrainingMetrics::on_snapshot(const exchange::StateSnapshot& snapshot) {
  const std::int64_t update = snapshot.update;
  const double seconds = training_seconds(snapshot.at);
  const auto need = update == options_.total_updates ? Evaluator::Need::required : Evaluator::Need::optional;
  if (evaluator_.submit({update, seconds, snapshot.state, snapshot.version, snapshot.versions}, need)) {
    epochs_.announce_evaluation();
  } else {
    folder_.add_metrics({{"event", "evaluation left out"}, {"update", update}, {"epoch", epoch(update)}, {"seconds", seconds}});
    progress_.note(fmt::format("update {}: no evaluation, {} earlier ones are not finished (a larger --eval-every would help)",
                               update, BackgroundEvaluator::kQueueLimit));
  }
  log_evaluations();
}

void TrainingMetrics::on_departure(const exchange::Departure& departure, double at) {
  const int rank = options_.roles.rank_of_worker(departure.worker);
  departed_ranks_.push_back(rank);
  if (update_ > 0) {  // before that nothing in the folder may change
    folder_.add_metrics({{"event", "departure"},
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
  epochs_.finish();
  progress_.close();
}

void TrainingMetrics::log_updates(const exchange::UpdateRecord& record, double at) {
  Json line{{"event", "train"},
            {"update", record.update},
            {"epoch", epoch(record.update)},
            {"seconds", at},
            {"lr", record.rate},
            {"train_loss", line_.loss()},
            {"train_accuracy", line_.accuracy()},
            {"train_top5", line_.top5_accuracy()},
            {"images_per_second", line_.images_per_second(at)},
            {"staleness_mean", line_.staleness()},
            {"staleness_max", line_.staleness_max}};
  if (options_.roles.workers > 1) {
    line["workers"] = std::exchange(arrivals_, {});
    line["places"] = std::exchange(places_, {});
  }
  if (!ranks_.empty()) line["ranks"] = std::exchange(ranks_, {});
  folder_.add_metrics(line);
  line_ = UpdateSums{.begin = at};
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
              {"evaluation_seconds", evaluation.scores.seconds}};
    if (!evaluation.versions.empty()) line["versions"] = evaluation.versions;
    folder_.add_metrics(line);
    epochs_.add(evaluation);
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

RunSummary TrainingMetrics::summary() const {
  RunSummary summary{.updates = update_,
                     .seconds = last_update_at_,
                     .images_per_second = steady_.images_per_second(last_update_at_),
                     .last_evaluation = last_evaluation_,
                     .departed = static_cast<std::int64_t>(departed_ranks_.size()),
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
