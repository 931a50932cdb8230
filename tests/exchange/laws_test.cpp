// Laws of the master under all schedules of a small run, and under many random ones: arrivals in any order and any groups,
// workers that leave, signals, refusals. Time and waiting do not exist here: a schedule is a list of choices.
//
//   every call     the state is that of single updates, bit for bit; every reply carries a version that was published,
//   unchanged;
//                  no batch is applied twice; tau is exact, and within the bound
//   at the end     every worker has been stopped or has left; granted = applied + refused + cancelled + abandoned; every batch
//   is
//                  applied exactly once unless the run ended early
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>

#include "apam/exchange/error.h"
#include "apam/exchange/policies/policy.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {
namespace {

constexpr std::uint64_t kRandomSchedules = 100000;
constexpr std::uint64_t kFewestSchedules = 5000;  // under sanitizers
constexpr auto kLongest = std::chrono::seconds(20);

const QuadraticOptions kModel{.sizes = {5}, .channels = 1, .rows = 1, .spread = 1.0F};

/// The gradient of a worker on the weights that it was sent, in memory of its own.
struct SmallWorker {
  enum class Phase : std::uint8_t { waits, computed, gone };
  Phase phase = Phase::waits;
  std::vector<std::int64_t> leases;
  GradientHeader header;
  std::vector<float> values;
  std::set<std::int64_t> cancelled;
};

/// A model that shares an Exec with others: making one is most of the time of a short run.
struct SmallModel {
  SmallModel(Exec& exec, int workers)
      : arena({}, quadratic_layout(kModel), engine::ParameterArena::Contents::state),
        updater(exec, arena, amsgrad(0.05)),
        history(Device{}, history_layout(kModel, workers)) {
    arena.initialize(0);
    history.publish_first(arena.state());
  }

  engine::ParameterArena arena;
  engine::Updater updater;
  WeightHistory history;
};

struct LawOptions {
  int workers = 2;
  std::int64_t updates = 6;
  PolicyOptions policy{};
  std::int64_t snapshot_every = 0;
};

/// Drives a master and checks every law. Deliberately knows nothing of MasterState's insides.
class LawfulRun {
 public:
  LawfulRun(Exec& exec, QuadraticSource& source, const LawOptions& options)
      : options_(options),
        policy_(make_policy(options.policy)),
        model_(exec, options.workers),
        single_(exec, 1),
        source_(source),
        master_(model_.updater, model_.history,
                {.workers = options.workers, .schedule = {options.updates, options.snapshot_every}, .policy = policy_.get()}),
        workers_(static_cast<std::size_t>(options.workers)) {
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
      if (small.cancelled.contains(small.header.computed_at) && small.header.batch % 2 == 0) {  // half of them are in time
        const GradientHeader given_up{.computed_at = small.header.computed_at, .batch = small.header.batch, .cancelled = 1};
        events.emplace_back(GradientReady{{worker, given_up, {}}});
        ++given_up_;
      } else {
        arrived_.push_back({worker, small.header, std::span<const float>(small.values)});
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
  std::vector<float> state() const { return values(model_.history.current().state()); }

  /// After the last event.
  void check_end() {
    EXPECT_TRUE(over_) << "Stop was given";
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
  }

 private:
  SmallWorker& of(int worker) { return workers_[static_cast<std::size_t>(worker)]; }

  void on(std::span<const Event> events) {
    const std::int64_t before = master_.version();
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
      single_.updater.apply_each(std::span(&message->values, 1), next.from(), next.state());
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
    ASSERT_FALSE(small.leases.empty());
    const std::int64_t batch = small.leases.front();
    small.leases.erase(small.leases.begin());
    source_.arena().read_weights_from(send.version.weights());
    small.header = source_.compute({batch});
    small.header.computed_at = send.reply.version;
    const auto outgoing = source_.arena().outgoing().host();
    small.values.assign(outgoing.begin(), outgoing.end());
    small.phase = SmallWorker::Phase::computed;
  }

  LawOptions options_;
  std::unique_ptr<const StalenessPolicy> policy_;
  SmallModel model_, single_;
  QuadraticSource& source_;
  MasterState master_;
  std::vector<SmallWorker> workers_;
  std::vector<GradientMessage> arrived_;                 // of the current call
  std::map<std::int64_t, std::vector<float>> expected_;  // the state after every single update
  std::set<std::int64_t> applied_;
  std::int64_t refused_ = 0, given_up_ = 0;
  bool over_ = false;
};

class Laws : public testing::Test {
 protected:
  Exec exec = plain_exec();
  QuadraticSource source{kModel};
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
std::vector<std::vector<int>> groups_of(const std::vector<int>& ready) {
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
std::int64_t explore(Exec& exec, QuadraticSource& source, const LawOptions& options) {
  std::int64_t schedules = 0;
  Choices choices;
  do {
    LawfulRun run(exec, source, options);
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

TEST_F(Laws, HoldForAllSchedulesOfTwoWorkersWithThreeStepsEach) {
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 6}), 500);
}

TEST_F(Laws, HoldForAllSchedulesWithRefusals) {
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 4, .policy = {.name = "bound", .bound = 1}}), 100);
  EXPECT_GT(explore(exec, source, {.workers = 2, .updates = 4, .policy = {.name = "ringmaster", .bound = 2}}), 100);
}

// Seeded by the number of the schedule, which a failure names. As many as there is time for, where sanitizers are slow.
TEST_F(Laws, HoldForRandomSchedules) {
  const std::vector<PolicyOptions> policies{
      {}, {.name = "bound", .bound = 2}, {.name = "ringmaster", .bound = 3}, {.name = "ssp", .bound = 1}};
  std::int64_t early = 0;
  const auto end = std::chrono::steady_clock::now() + kLongest;
  for (std::uint64_t schedule = 0; schedule < kRandomSchedules && !HasFailure(); ++schedule) {
    if (schedule >= kFewestSchedules && schedule % 1000 == 0 && std::chrono::steady_clock::now() > end) break;
    SCOPED_TRACE(fmt::format("schedule {}", schedule));
    std::uint64_t drawn = 0;
    const auto draw = [&](std::size_t below) {
      return static_cast<std::size_t>(Random(schedule, Purpose::sample, 1).below(static_cast<std::uint32_t>(below), drawn++));
    };
    LawfulRun run(exec, source,
                  {.workers = 1 + static_cast<int>(draw(10)),
                   .updates = 1 + static_cast<std::int64_t>(draw(24)),
                   .policy = policies[draw(policies.size())],
                   .snapshot_every = static_cast<std::int64_t>(draw(5))});
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
    early += run.master().ending().why == Ending::Why::complete ? 0 : 1;
  }
  EXPECT_GT(early, 0) << "some schedules end early";
}

// k gradients in one call are k single updates, for every k and in random order; the single ones go through the same master.
TEST_F(Laws, CoalescedIsOneByOne) {
  for (int k = 1; k <= MasterState::kMostTogether; ++k) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      std::vector<int> order(static_cast<std::size_t>(k));
      std::iota(order.begin(), order.end(), 0);
      for (std::size_t i = 0; i < order.size(); ++i) {
        const auto rest = static_cast<std::uint32_t>(order.size() - i);
        std::swap(order[i], order[i + Random(seed, Purpose::sample, 2).below(rest, i)]);
      }
      LawfulRun together(exec, source, {.workers = k, .updates = 2 * k}),
          singly(exec, source, {.workers = k, .updates = 2 * k});
      together.arrive(order);
      for (const int worker : order) singly.arrive({worker});
      EXPECT_EQ(together.state(), singly.state()) << "k = " << k;
      EXPECT_EQ(together.master().staleness().histogram(), singly.master().staleness().histogram());
    }
  }
}

}  // namespace
}  // namespace apam::exchange::test
