// A master with an order of its own, over MPI (shards/free_shard.h): it applies the gradients that have arrived and replies.
// The sequencer asks it for its range (log_entry.h), and tells it the end.
#include <optional>

#include "apam/exchange/mpi/follower_links.h"

namespace apam::exchange::mpi {
namespace {

using Kind = LogEntry::Kind;

class FreeFollower {
 public:
  FreeFollower(const Peers& peers, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
               FreeShard::Options options)
      : updater_(updater),
        policy_(policy),
        options_(options),
        links_(peers, layout, [](const LogEntry& entry) { return entry.kind != Kind::pass; }) {
    options_.workers = links_.workers();
  }

  void run(Control& control) {
    std::vector<FollowerLinks::Event> events;
    std::vector<GradientMessage> gradients;
    while (!over()) {
      links_.take(events);
      gradients.clear();
      for (const auto& event : events) {
        if (event.gradient) gradients.push_back(*event.gradient);
        if (event.entry) take(*event.entry);
      }
      if (!gradients.empty()) send(shard_.value().take(gradients));
      if (asked_ && shard_ && shard_->version() >= *asked_) {
        const VersionRef newest = links_.history().current();
        report_.collected = newest.version();
        asked_.reset();
        links_.send_range(newest);
      }
      if (const int signal = control.stop_signal(); signal != 0 && report_.signal == 0) report_.signal = signal;
      report();
    }
    links_.finish();
  }

 private:
  bool over() const { return stopped_ && shard_ && shard_->done(); }

  void take(const LogEntry& entry) {
    if (entry.kind == Kind::first) {
      WeightHistory& history = links_.history();
      history.publish(history.begin_next(1, entry.slot));
      shard_.emplace(updater_, history, links_.range(), policy_, options_);
      send(shard_->start());
    } else if (entry.kind == Kind::collect) {
      asked_ = entry.version;
    } else {
      require<ExchangeError>(entry.kind == Kind::pass && entry.pass.kind == ShardPass::Kind::stop,
                             "mpi: rank {} orders by itself, but has an entry of the log", links_.rank());
      stopped_ = true;
    }
  }

  void send(std::span<const FreeShard::Answer> answers) {
    for (const auto& [worker, version] : answers) links_.reply(worker, {.version = version.version()}, version);
  }

  /// If it has news.
  void report() {
    if (!shard_) return;
    if (const auto& found = shard_->non_finite()) {
      report_.non_finite_update = found->update;
      report_.non_finite_element = found->element;
      report_.non_finite_worker = found->worker;
    }
    report_.copied_bytes = links_.copied_bytes();
    report_.staleness = shard_->staleness().mean();
    report_.last = over() ? 1 : 0;
    if (report_ == reported_) return;
    reported_ = report_;
    links_.report(report_);
  }

  engine::Updater& updater_;
  const StalenessPolicy& policy_;
  FreeShard::Options options_;
  FollowerLinks links_;

  std::optional<FreeShard> shard_;     // once the first version is here
  std::optional<std::int64_t> asked_;  // for its range, from this version on
  bool stopped_ = false;
  ShardReport report_, reported_;
};

}  // namespace

void follow_freely(const Peers& peers, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
                   FreeShard::Options options, Control& control) {
  FreeFollower(peers, updater, layout, policy, options).run(control);
}

}  // namespace apam::exchange::mpi
