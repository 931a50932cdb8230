// A run of a small model, one call of the master at a time, that checks every law of the exchange (laws_test.cpp); and the
// choices that make a schedule.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "apam/exchange/drivers/replay.h"
#include "apam/exchange/policies/policy.h"
#include "tests/exchange/shards_support.h"

namespace apam::exchange::test {

inline const QuadraticOptions kLawModel{.sizes = {5}, .channels = 1, .rows = 1, .spread = 1.0F};

/// The gradient of a worker on the weights that it was sent, in memory of its own; and the one that it computes ahead.
struct SmallWorker {
  enum class Phase : std::uint8_t { waits, computed, gone };
  struct Gradient {
    GradientHeader header;
    std::vector<float> values;
  };
  Phase phase = Phase::waits;
  std::vector<std::int64_t> leases;
  Gradient pushed;
  std::optional<Gradient> ahead;
  std::int64_t given = 0;  // version sent last
  std::set<std::int64_t> cancelled;
};

struct LawOptions {
  int workers = 2;
  std::int64_t updates = 6;
  PolicyOptions policy{};
  std::int64_t snapshot_every = 0;
  int masters = 1;
  QuadraticOptions model = kLawModel;
  Between between = Between::wait;
};

/// Computes when a gradient is taken.
class RecomputedGradients final : public ReplayedGradients {
 public:
  explicit RecomputedGradients(QuadraticSource& source) : source_(source) {}
  void begin(int worker, std::int64_t batch, const VersionRef& weights) override {
    begun_[worker].emplace_back(batch, weights);
  }
  Gradient take(int worker) override {
    const auto [batch, weights] = begun_[worker].front();
    begun_[worker].pop_front();
    source_.arena().read_weights_from(weights.weights());
    const GradientHeader header = source_.compute({batch});
    return {header, std::span<const float>(values_[worker] = values(source_.arena().outgoing()))};
  }
  void give_up(int worker) override { begun_[worker].pop_front(); }

 private:
  QuadraticSource& source_;
  std::map<int, std::deque<std::pair<std::int64_t, VersionRef>>> begun_;
  std::map<int, std::vector<float>> values_;
};

/// Makes the updates of a recorded run again, by one master. Returns its last state.
inline std::vector<float> replayed_state(Exec& exec, QuadraticSource& source, const LawOptions& options,
                                         const std::vector<float>& first, const std::vector<RecordedCall>& calls,
                                         const Ending& ending) {
  const auto policy = make_policy(options.policy);
  const engine::ParameterArena arena({}, quadratic_layout(options.model), engine::ParameterArena::Contents::state);
  engine::Updater updater(exec, arena, amsgrad(0.05));
  WeightHistory history(Device{}, {arena.layout().weights_size(), arena.layout().statistics_size(), 1,
                                   HistoryLayout::slots_for(options.workers, 0, 2)});
  history.publish_first(std::span(first));
  const bool ahead = options.between == Between::compute_ahead;
  MasterState master(updater, history,
                     {.workers = options.workers,
                      .schedule = {options.updates, options.snapshot_every},
                      .policy = policy.get(),
                      .ahead = ahead});
  IgnoreEvents observer;
  RecomputedGradients again(source);  // refers to versions of the history, as the workers do
  ReplayedWorkers workers(options.workers, ahead, again);
  EXPECT_EQ(calls.front(), (RecordedCall{{RecordedEvent::Kind::start, options.workers}}));
  begin_replay(master, workers, observer, 0);
  for (std::size_t i = 1; i < calls.size(); ++i) replay(calls[i], master, workers, observer, 0);
  EXPECT_EQ(master.ending().why, ending.why);
  EXPECT_EQ(master.ending().update, ending.update);
  return values(history.current().state());
}

/// Drives a master and checks every law. Deliberately knows nothing of MasterState's insides.
class LawfulRun {
 public:
  LawfulRun(Exec& exec, QuadraticSource& source, const LawOptions& options, std::function<bool()> at_once = {})
      : exec_(exec),
        options_(options),
        policy_(make_policy(options.policy)),
        model_(exec, options.model, amsgrad(0.05), {options.workers, options.masters, policy_.get()}),
        single_(exec, options.model, amsgrad(0.05), {.workers = 1}),
        source_(source),
        master_(model_.updater(), model_.history,
                model_.of_sequencer({.workers = options.workers,
                                     .schedule = {options.updates, options.snapshot_every},
                                     .policy = policy_.get(),
                                     .ahead = options.between == Between::compute_ahead})),
        workers_(static_cast<std::size_t>(options.workers)) {
    if (at_once) model_.at_once = std::move(at_once);
    expected_[0] = state();
    std::vector<Event> events;
    for (int worker = 0; worker < options.workers; ++worker) events.emplace_back(Joined{worker});
    on(events);
  }

  /// Workers whose gradient could arrive now.
  std::vector<int> ready() const {
    std::vector<int> result;
    for (int worker = 0; worker < options_.workers; ++worker) {
      if (workers_[static_cast<std::size_t>(worker)].phase == SmallWorker::Phase::computed) result.push_back(worker);
    }
    return result;
  }

  void arrive(const std::vector<int>& together) {
    std::vector<Event> events;
    for (const int worker : together) {
      SmallWorker& small = of(worker);
      small.phase = SmallWorker::Phase::waits;
      const auto& [header, values] = small.pushed;
      if (small.cancelled.contains(header.computed_at) && header.batch % 2 == 0) {  // half of them are in time
        const GradientHeader given_up{.computed_at = header.computed_at, .batch = header.batch, .cancelled = 1};
        events.emplace_back(GradientReady{{worker, given_up, {}}});
        ++given_up_;
      } else {
        arrived_.push_back({worker, header, std::span<const float>(values)});
        model_.set_contribution(worker, arrived_.back().values);
        events.emplace_back(GradientReady{arrived_.back()});
      }
    }
    on(events);
  }

  void depart(int worker) {
    of(worker).phase = SmallWorker::Phase::gone;
    const Event event = Departed{worker, "killed"};
    on(std::span(&event, 1));
  }

  void signal() {
    const Event event = StopRequested{15};
    on(std::span(&event, 1));
  }

  bool done() const { return master_.done(); }
  const MasterState& master() const { return master_; }
  std::vector<float> state() const { return model_.state(); }

  /// After the last event.
  void check_end() {
    EXPECT_TRUE(over_) << "Stop was given";
    EXPECT_TRUE(model_.followers_are_done());
    const LeaseCounts& counts = master_.leases();
    EXPECT_EQ(counts.granted, counts.ended());
    EXPECT_LE(counts.cancelled, given_up_) << "those that arrive after the end are abandoned";
    EXPECT_EQ(static_cast<std::int64_t>(applied_.size()), counts.applied);
    EXPECT_EQ(counts.refused, refused_);
    if (master_.ending().why == Ending::Why::complete) {
      EXPECT_EQ(static_cast<std::int64_t>(applied_.size()), options_.updates) << "every batch once";
      EXPECT_EQ(master_.version(), options_.updates);
      EXPECT_EQ(counts.cancelled, given_up_);
    }
    EXPECT_EQ(master_.staleness().updates(), master_.version());
    EXPECT_EQ(replayed_state(exec_, source_, options_, expected_.at(0), calls_, master_.ending()), state());
  }

 private:
  SmallWorker& of(int worker) { return workers_[static_cast<std::size_t>(worker)]; }

  void on(std::span<const Event> events) {
    const std::int64_t before = master_.version();
    calls_.push_back(recorded(events));
    const auto actions = master_.on(events, 0);
    check_updates(before, actions);
    for (const Action& action : actions) {
      if (const auto* send = std::get_if<Send>(&action)) deliver(*send);
      if (const auto* cancel = std::get_if<Cancel>(&action)) of(cancel->worker).cancelled.insert(cancel->computed_at);
      if (std::holds_alternative<Refuse>(action)) ++refused_;
      if (std::holds_alternative<Stop>(action)) {
        EXPECT_FALSE(over_) << "once";
        over_ = true;
      }
    }
    arrived_.clear();
  }

  /// The updates of this call, made again one at a time.
  void check_updates(std::int64_t before, std::span<const Action> actions) {
    std::int64_t update = before;
    for (const Action& action : actions) {
      const auto* applied = std::get_if<Applied>(&action);
      if (applied == nullptr) continue;
      const UpdateRecord& record = applied->record;
      EXPECT_EQ(record.update, ++update);
      EXPECT_EQ(record.staleness, update - 1 - record.header.computed_at);
      EXPECT_EQ(record.publish_lag, of(record.worker).given - record.header.computed_at);
      if (options_.policy.name == "bound") {
        EXPECT_LE(record.staleness, *options_.policy.bound);
      }
      if (options_.policy.name == "ringmaster") {
        EXPECT_LT(record.staleness, *options_.policy.bound);
      }
      EXPECT_TRUE(applied_.insert(record.header.batch).second) << "batch " << record.header.batch << " is applied twice";
      const auto message = std::find_if(arrived_.begin(), arrived_.end(), [&](const GradientMessage& one) {
        return one.worker == record.worker && one.header.batch == record.header.batch;
      });
      ASSERT_NE(message, arrived_.end());
      WritableVersion next = single_.history.begin_next();
      single_.updater().apply_each(std::span(&message->values, 1), next.from(), next.state());
      single_.history.publish(std::move(next));
      expected_[update] = values(single_.history.current().state());
    }
    EXPECT_EQ(master_.version(), update);
    const VersionRef newest = model_.history.current();
    ASSERT_EQ(newest.version(), update);
    EXPECT_EQ(values(newest.state()), expected_.at(update)) << "update " << update;
  }

  void deliver(const Send& send) {
    SmallWorker& small = of(send.worker);
    ASSERT_NE(small.phase, SmallWorker::Phase::gone);
    if (send.reply.verdict == Verdict::stop) {
      EXPECT_FALSE(send.version);
      small.phase = SmallWorker::Phase::gone;
      return;
    }
    ASSERT_EQ(send.reply.version, send.version.version());
    EXPECT_EQ(expected_.at(send.reply.version), values(send.version.state())) << "a version that exists, unchanged";
    for (int i = 0; i < send.reply.lease_count; ++i) small.leases.push_back(send.reply.leases.at(static_cast<std::size_t>(i)));
    ASSERT_TRUE(!small.leases.empty() || small.ahead);
    source_.arena().read_weights_from(send.version.weights());
    small.given = send.reply.version;
    small.pushed = small.ahead ? *std::exchange(small.ahead, {}) : compute(small);
    if (options_.between == Between::compute_ahead && !small.leases.empty()) small.ahead = compute(small);
    small.phase = SmallWorker::Phase::computed;
  }

  SmallWorker::Gradient compute(SmallWorker& small) {
    const std::int64_t batch = small.leases.front();
    small.leases.erase(small.leases.begin());
    GradientHeader header = source_.compute({batch});
    header.computed_at = small.given;
    return {header, values(source_.arena().outgoing())};
  }

  Exec& exec_;
  LawOptions options_;
  std::unique_ptr<const StalenessPolicy> policy_;
  ShardedModel model_, single_;
  QuadraticSource& source_;
  MasterState master_;
  std::vector<SmallWorker> workers_;
  std::vector<GradientMessage> arrived_;                 // of the current call
  std::map<std::int64_t, std::vector<float>> expected_;  // the state after every single update
  std::set<std::int64_t> applied_;
  std::vector<RecordedCall> calls_;
  std::int64_t refused_ = 0, given_up_ = 0;
  bool over_ = false;
};

/// All sequences of choices, in order: the first is all zeros; next() increases the last choice that can be.
class Choices {
 public:
  std::size_t choose(std::size_t options) {
    if (at_ == chosen_.size()) chosen_.emplace_back(0, options);
    return chosen_[at_++].first;
  }
  bool next() {
    at_ = 0;
    while (!chosen_.empty() && chosen_.back().first + 1 == chosen_.back().second) chosen_.pop_back();
    if (chosen_.empty()) return false;
    ++chosen_.back().first;
    return true;
  }

 private:
  std::vector<std::pair<std::size_t, std::size_t>> chosen_;  // (choice, options)
  std::size_t at_ = 0;
};

/// The groups in which ready gradients can arrive at once: each by itself, and two in both orders.
inline std::vector<std::vector<int>> groups_of(const std::vector<int>& ready) {
  std::vector<std::vector<int>> groups;
  for (const int a : ready) {
    groups.push_back({a});
    for (const int b : ready) {
      if (a != b) groups.push_back({a, b});
    }
  }
  return groups;
}

/// Every schedule of two workers, with at most one departure or signal at any moment.
inline std::int64_t explore(Exec& exec, QuadraticSource& source, const LawOptions& options) {
  std::int64_t schedules = 0;
  Choices choices;
  do {
    LawfulRun run(exec, source, options, [&] { return choices.choose(2) == 1; });
    bool disturbed = false;
    while (!run.done()) {
      const auto ready = run.ready();
      const auto groups = groups_of(ready);
      if (ready.empty()) {
        ADD_FAILURE() << "deadlock: nothing can arrive, and the run is not done";
        return schedules;
      }
      const std::size_t more = disturbed ? 0 : ready.size() + 1;
      const std::size_t choice = choices.choose(groups.size() + more);
      if (choice < groups.size()) {
        run.arrive(groups[choice]);
      } else {
        disturbed = true;
        const std::size_t which = choice - groups.size();
        which < ready.size() ? run.depart(ready[which]) : run.signal();
      }
    }
    run.check_end();
    ++schedules;
  } while (choices.next() && !testing::Test::HasFailure());
  return schedules;
}

/// Arrivals in random groups and orders until the run is done, now and then a departure or a signal. `draw(n)`: below n.
inline void random_schedule(LawfulRun& run, const std::function<std::size_t(std::size_t)>& draw) {
  while (!run.done()) {
    auto ready = run.ready();
    ASSERT_FALSE(ready.empty()) << "deadlock";
    const std::size_t kind = draw(100);
    if (kind < 2) {
      run.depart(ready[draw(ready.size())]);
    } else if (kind < 3) {
      run.signal();
    } else {
      const std::size_t together = 1 + draw(ready.size());
      for (std::size_t i = 0; i < together; ++i) std::swap(ready[i], ready[i + draw(ready.size() - i)]);
      ready.resize(together);
      run.arrive(ready);
    }
  }
  run.check_end();
}

}  // namespace apam::exchange::test
