// Masters with orders of their own (Order::free), in one process. Each master takes gradients in an order that the test draws: its
// range must be that of one master with that order, and all must have applied the same gradients when the run has ended.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apam/exchange/error.h"
#include "apam/exchange/local/scripted.h"
#include "apam/exchange/shards/free_shard.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/philox.h"
#include "tests/exchange/shards_support.h"
#include "tests/support/throws.h"

namespace apam::exchange::test {
namespace {

using support::throws;

const QuadraticOptions kModel{.sizes = {33, 5, 70}, .channels = 3, .rows = 2, .spread = 1.5F};

struct Options {
  int workers = 2;
  int masters = 2;
  Schedule schedule{20};
  PolicyOptions policy{};
  Between between = Between::wait;
  std::int64_t infinite = -1;  // the batch whose loss is
};

/// The masters, and workers that compute when the test says so.
class FreeRun final : public ShardFollowers {
 public:
  FreeRun(Exec& exec, const Options& options)
      : options_(options), layout_(quadratic_layout(kModel)), policy_(make_policy(options.policy)) {
    HistoryLayout layout = history_layout(kModel, options.workers);
    layout.slots = HistoryLayout::slots_for(options.workers, 0, 2);
    const engine::ParameterArena arena({}, layout_, engine::ParameterArena::Contents::state);
    arena.initialize(0);
    for (const auto& range : split_state(layout_.weights_size(), layout_.statistics_size(), options.masters)) {
      Master& one = *masters_.emplace_back(std::make_unique<Master>(exec, layout_, range, layout));
      one.history.publish_first(arena.state());
    }
    for (int worker = 0; worker < options.workers; ++worker) {
      workers_.push_back(std::make_unique<One>(options.masters, options.between));
    }
    const bool ahead = options.between == Between::compute_ahead;
    state_.emplace(of(0).shard.updater, of(0).history,
                   MasterOptions{.workers = options.workers,
                                 .schedule = options.schedule,
                                 .policy = policy_.get(),
                                 .range = of(0).shard.range,
                                 .followers = this,
                                 .order = Order::free,
                                 .ahead = ahead});
    for (int master = 1; master < options.masters; ++master) {
      Master& one = of(master);
      one.free.emplace(one.shard.updater, one.history, one.shard.range, *policy_,
                       FreeShard::Options{options.workers, ahead, options.schedule.keep_going});
      send(master, one.free->start());
    }
    for (int worker = 0; worker < options.workers; ++worker) act(Joined{worker});
  }

  /// Workers that have a gradient to push.
  std::vector<int> able() const {
    std::vector<int> all;
    for (int worker = 0; worker < options_.workers; ++worker) {
      if (workers_[static_cast<std::size_t>(worker)]->computes) all.push_back(worker);
    }
    return all;
  }
  /// To all masters. A worker that computes ahead does so.
  void push(int worker) {
    One& one = worker_at(worker);
    auto [header, gradient] = one.worker.next();
    if (header.batch == options_.infinite) header.loss_sum = INFINITY;
    one.computes = false;
    one.awaited = options_.masters;
    const auto& versions = header.computed_at == one.versions[0] ? one.versions : one.former;
    for (int master = 0; master < options_.masters; ++master) {
      header.computed_at = versions.at(static_cast<std::size_t>(master));
      of(master).arrived.push_back({worker, header, gradient});
    }
    one.worker.compute_ahead();
  }
  std::size_t arrived(int master) const { return masters_[static_cast<std::size_t>(master)]->arrived.size(); }
  /// A master takes these gradients of those that have arrived there, in one call.
  void take(int master, std::vector<std::size_t> which) {
    Master& one = of(master);
    std::vector<GradientMessage> messages;
    for (const std::size_t i : which) messages.push_back(one.arrived.at(i));
    std::sort(which.rbegin(), which.rend());
    for (const std::size_t i : which) one.arrived.erase(one.arrived.begin() + static_cast<std::ptrdiff_t>(i));
    for (const GradientMessage& message : messages) {
      if (message.header.cancelled == 0) one.taken.push_back({message.header, values(message.values)});
    }
    if (master > 0) return send(master, one.free->take(messages));
    std::vector<Event> events;
    for (const GradientMessage& message : messages) events.emplace_back(GradientReady{message});
    act(events);
  }
  void interrupt(int number) { act(StopRequested{number}); }
  bool done() const {
    return stopped_ && std::all_of(masters_.begin() + 1, masters_.end(), [](const auto& one) { return one->free->done(); });
  }

  const MasterState& master() const { return *state_; }
  const FreeShard& shard(int master) { return *of(master).free; }
  std::int64_t version(int master) { return of(master).shard.updater.version(); }
  std::vector<float> state() { return values(of(0).history.current().state()); }
  std::vector<float> range(int master) { return values(of(master).shard.range.of(of(master).history.current().state())); }

  /// What one master makes of the gradients that this one has taken, one by one: the range of this one.
  std::vector<float> replayed(int master) {
    Model model(kModel, amsgrad(0.01));
    for (const auto& [header, gradient] : of(master).taken) {
      if (std::isfinite(header.loss_sum)) model.updater.apply(std::span<const float>(gradient));
    }
    return values(of(master).shard.range.of(ConstSpan<float>(model.arena.state())));
  }
  std::vector<std::int64_t> batches(int master) {
    std::vector<std::int64_t> all;
    for (const auto& one : of(master).taken) all.push_back(one.header.batch);
    return all;
  }

  void post(const ShardPass& pass) override { stopped_ = pass.kind == ShardPass::Kind::stop; }
  std::optional<ShardFinding> finish() override {
    for (int master = 1; master < options_.masters; ++master) {
      if (of(master).free->non_finite()) return of(master).free->non_finite();
    }
    return {};
  }
  void collect(int slot, std::int64_t version) override {
    for (int master = 1; master < options_.masters; ++master) {
      Master& one = of(master);
      while (one.free->version() < version) take(master, {0});
      const VersionRef newest = one.history.current();
      copy(one.shard.range.of(newest.state()), one.shard.range.of(of(0).history.memory(slot)));
      one.collected = newest.version();
    }
  }
  std::vector<std::int64_t> versions() const override {
    std::vector<std::int64_t> all;
    for (std::size_t master = 1; master < masters_.size(); ++master) all.push_back(masters_[master]->collected);
    return all;
  }

  Recorder recorder;

 private:
  struct Taken {
    GradientHeader header;
    std::vector<float> gradient;
  };
  struct Master {
    Master(Exec& exec, const engine::ParameterLayout& model, const ShardRange& range, const HistoryLayout& layout)
        : shard(exec, model, range, amsgrad(0.01)), history(Device{}, layout) {}
    Shard shard;
    WeightHistory history;
    std::optional<FreeShard> free;  // of all but the first
    std::vector<GradientMessage> arrived;
    std::vector<Taken> taken;
    std::int64_t collected = 0;
  };
  struct One {
    One(int masters, Between between)
        : source(kModel),
          second(make_second(kModel)),
          worker(source, between == Between::wait ? Span<float>() : second.outgoing()),
          weights{source.arena().weights(), second.weights()},
          versions(static_cast<std::size_t>(masters)),
          former(versions),
          awaited(masters) {}
    QuadraticSource source;
    engine::ParameterArena second;
    Worker worker;
    std::array<Span<float>, 2> weights;          // delivered in turns
    std::vector<std::int64_t> versions, former;  // of these, by master
    Reply reply;                                 // of the first master
    int awaited;                                 // replies
    std::size_t deliveries = 0;
    bool computes = false;
  };

  Master& of(int master) { return *masters_[static_cast<std::size_t>(master)]; }
  One& worker_at(int worker) { return *workers_[static_cast<std::size_t>(worker)]; }

  void act(const Event& event) { act(std::vector<Event>{event}); }
  void act(const std::vector<Event>& events) {
    const auto actions = state_->on(events, 0);
    for (const Action& action : actions) {
      if (const auto* update = std::get_if<Applied>(&action)) recorder.on_update(update->record);
      if (const auto* snapshot = std::get_if<Snapshot>(&action)) recorder.on_snapshot(snapshot->state);
      if (const auto* one = std::get_if<Send>(&action)) receive(one->worker, 0, one->reply, one->version);
    }
  }
  void send(int master, std::span<const FreeShard::Answer> answers) {
    for (const auto& [worker, version] : answers) receive(worker, master, {.version = version.version()}, version);
  }
  void receive(int worker, int master, const Reply& reply, const VersionRef& version) {
    One& one = worker_at(worker);
    if (master == 0) one.reply = reply;
    if (version) {
      const ShardRange& range = of(master).shard.range;
      copy(version.weights().subspan(range.begin, range.weights),
           one.weights.at(one.deliveries % 2).subspan(range.begin, range.weights));
      const auto place = static_cast<std::size_t>(master);
      one.former[place] = std::exchange(one.versions[place], reply.version);
    }
    if (--one.awaited > 0) return;
    const bool stop = one.reply.verdict == Verdict::stop;
    one.computes = one.worker.accept({one.reply, stop ? Span<float>() : one.weights.at(one.deliveries++ % 2)});
    if (one.computes) return;
    for (int other = 1; other < options_.masters; ++other) of(other).arrived.push_back({worker, {.cancelled = 1}, {}});
  }

  Options options_;
  engine::ParameterLayout layout_;
  std::unique_ptr<const StalenessPolicy> policy_;
  std::vector<std::unique_ptr<Master>> masters_;
  std::vector<std::unique_ptr<One>> workers_;
  std::optional<MasterState> state_;
  bool stopped_ = false;
};

/// Until the end.
void random_schedule(FreeRun& run, int masters, const std::function<std::size_t(std::size_t)>& draw, std::size_t signal_at) {
  for (std::size_t steps = 0; !run.done(); ++steps) {
    ASSERT_LT(steps, 10'000U);
    if (steps == signal_at) run.interrupt(15);
    const auto able = run.able();
    std::vector<int> ready;
    for (int master = 0; master < masters; ++master) {
      if (run.arrived(master) > 0) ready.push_back(master);
    }
    ASSERT_GT(able.size() + ready.size(), 0U) << "deadlock";
    const std::size_t next = draw(able.size() + ready.size());
    if (next < able.size()) {
      run.push(able[next]);
      continue;
    }
    const int master = ready[next - able.size()];
    std::vector<std::size_t> order(run.arrived(master));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = 0; i + 1 < order.size(); ++i) std::swap(order[i], order[i + draw(order.size() - i)]);
    order.resize(1 + draw(order.size()));
    run.take(master, order);
  }
}

void expect_lawful(FreeRun& run, const Options& options) {
  const std::int64_t updates = run.version(0);
  std::vector<std::int64_t> batches = run.batches(0);
  std::sort(batches.begin(), batches.end());
  EXPECT_EQ(std::adjacent_find(batches.begin(), batches.end()), batches.end()) << "a gradient twice";
  const bool diverged = run.master().divergence().has_value();
  std::vector<float> ranges;
  for (int master = 0; master < options.masters; ++master) {
    EXPECT_EQ(run.version(master), updates);
    auto here = run.batches(master);
    std::sort(here.begin(), here.end());
    EXPECT_EQ(here, batches) << "master " << master;
    const auto range = run.range(master);
    if (options.policy.name == "none") {
      EXPECT_EQ(range, run.replayed(master)) << "master " << master;
    }
    ranges.insert(ranges.end(), range.begin(), range.end());
    if (master > 0) {
      EXPECT_EQ(run.shard(master).staleness().updates(), updates);
    }
  }
  EXPECT_EQ(run.state(), ranges) << "the whole state is with the sequencer";
  EXPECT_EQ(run.master().leases().granted, run.master().leases().ended());
  EXPECT_EQ(run.master().leases().applied, updates);
  const Ending ending = run.master().ending();
  EXPECT_EQ(ending.update, updates);
  if (ending.why == Ending::Why::complete) {
    EXPECT_EQ(updates, options.schedule.total_updates);
    EXPECT_EQ(run.recorder.states.back(), ranges);
  }
  EXPECT_EQ(ending.why == Ending::Why::diverged, diverged && !options.schedule.keep_going);
  for (std::size_t i = 0; i < run.recorder.snapshots.size(); ++i) {
    const auto& versions = run.recorder.versions[i];
    ASSERT_EQ(versions.size(), static_cast<std::size_t>(options.masters));
    EXPECT_EQ(versions[0], run.recorder.snapshots[i]);
    for (const std::int64_t one : versions) EXPECT_GE(one, versions[0]);
  }
}

TEST(FreeShards, KeepTheLawsUnderRandomSchedules) {
  Exec exec = plain_exec();
  const std::vector<PolicyOptions> policies{{},
                                            {},
                                            {.name = "ssp", .bound = 1},
                                            {.name = "scaled", .factor = 1.0},
                                            {.name = "cgad", .bound = 4, .factor = 0.1},
                                            {.name = "compensated", .factor = 0.5},
                                            {.name = "rescaled"}};
  std::int64_t early = 0, apart = 0, diverged = 0;
  for (std::uint64_t schedule = 0; schedule < 1500 && !testing::Test::HasFailure(); ++schedule) {
    SCOPED_TRACE(fmt::format("schedule {}", schedule));
    std::uint64_t drawn = 0;
    const auto draw = [&](std::size_t below) {
      return static_cast<std::size_t>(Random(schedule, Purpose::sample, 6).below(static_cast<std::uint32_t>(below), drawn++));
    };
    Options options{.workers = 1 + static_cast<int>(draw(5)),
                    .masters = 2 + static_cast<int>(draw(2)),
                    .schedule = {1 + static_cast<std::int64_t>(draw(24)), static_cast<std::int64_t>(draw(6))},
                    .policy = policies[draw(policies.size())],
                    .between = draw(3) == 0 ? Between::compute_ahead : Between::wait};
    if (draw(5) == 0) options.infinite = static_cast<std::int64_t>(draw(24));
    options.schedule.keep_going = options.policy.name != "none" && draw(2) == 0;
    FreeRun run(exec, options);
    random_schedule(run, options.masters, draw, draw(3) == 0 ? draw(40) : 1'000'000);
    if (testing::Test::HasFatalFailure()) return;
    expect_lawful(run, options);
    const auto why = run.master().ending().why;
    early += why == Ending::Why::interrupted ? 1 : 0;
    diverged += why == Ending::Why::diverged ? 1 : 0;
    apart += run.batches(0) != run.batches(1) ? 1 : 0;
  }
  EXPECT_GT(early, 100) << "some schedules end early";
  EXPECT_GT(diverged, 50);
  EXPECT_GT(apart, 500) << "some masters had other orders";
}

TEST(FreeShards, LeaveTheBitsOfOneMasterIfAllHaveItsOrder) {
  Exec exec = plain_exec();
  for (const Between between : {Between::wait, Between::compute_ahead}) {
    for (const PolicyOptions& policy : std::vector<PolicyOptions>{{}, {.name = "scaled", .factor = 1.0}, {.name = "compensated", .factor = 0.5}}) {
      FreeRun run(exec, {.workers = 3, .masters = 3, .schedule = {40}, .policy = policy, .between = between});
      for (int next = 0; !run.done(); next = (next * 5 + 1) % 7) {
        const auto able = run.able();
        if (!able.empty()) run.push(able[static_cast<std::size_t>(next) % able.size()]);
        for (int master = 0; master < 3; ++master) {
          while (run.arrived(master) > 0) run.take(master, {0});
        }
      }
      const auto kind = make_policy(policy);
      EXPECT_EQ(run.state(), replay(kModel, amsgrad(0.01), 3, run.recorder.passes(), between, kind.get())) << policy.name;
    }
  }
}

/// A shard of two, with 2 workers that have weights.
struct Single {
  explicit Single(const PolicyOptions& options = {}, FreeShard::Options shard = {.workers = 2})
      : policy(make_policy(options)),
        range(split_state(quadratic_layout(kModel).weights_size(), quadratic_layout(kModel).statistics_size(), 2)[1]),
        half(model.exec, quadratic_layout(kModel), range, sgd(0.5)),
        free(half.updater, model.history, range, *policy, shard),
        gradient(model.history.layout().state(), 1.0F) {}

  GradientMessage message(int worker, std::int64_t computed_at, double loss = 0) const {
    return {worker, {.computed_at = computed_at, .batch = 0, .loss_sum = loss, .rows = 1}, std::span<const float>(gradient)};
  }
  std::vector<std::int64_t> take(const std::vector<GradientMessage>& messages) {
    std::vector<std::int64_t> versions;
    for (const auto& answer : free.take(messages)) versions.push_back(answer.version.version());
    return versions;
  }
  float weight() const { return model.history.current().state().host()[range.begin]; }

  Model model{kModel, sgd(0.5)};
  std::unique_ptr<const StalenessPolicy> policy;
  ShardRange range;
  Shard half;
  FreeShard free;
  std::vector<float> gradient;
};

TEST(FreeShards, CountStalenessInTheirOwnUpdates) {
  Single one({.name = "scaled", .factor = 1.0});
  one.free.start();
  EXPECT_EQ(one.take({one.message(1, 0)}), std::vector<std::int64_t>{1});
  EXPECT_EQ(one.weight(), kFirstWeight - 0.5F);
  // Together, with staleness 1 and 1: half the learning rate.
  EXPECT_EQ(one.take({one.message(0, 0), one.message(1, 1)}), (std::vector<std::int64_t>{3, 3}));
  EXPECT_EQ(one.weight(), kFirstWeight - 0.5F - 0.25F - 0.25F);
  EXPECT_EQ(one.free.staleness().histogram(), (std::vector<std::int64_t>{1, 2}));
}

TEST(FreeShards, AnswerWhatNoMasterApplies) {
  Single one;
  one.free.start();
  const double nan = std::nan("");
  EXPECT_EQ(one.take({one.message(1, 0, nan), one.message(0, 0)}), (std::vector<std::int64_t>{1, 1}));
  EXPECT_EQ(one.free.version(), 1);
  EXPECT_FALSE(one.free.non_finite());
  Single keeps({}, {.workers = 2, .keep_going = true});
  keeps.free.start();
  EXPECT_EQ(keeps.take({keeps.message(1, 0, nan)}), std::vector<std::int64_t>{1});
  EXPECT_EQ(keeps.free.version(), 1);
}

TEST(FreeShards, NameWhoseGradientIsNotFinite) {
  Single one;
  one.free.start();
  one.take({one.message(0, 0)});
  one.gradient[one.range.begin + 2] = INFINITY;
  one.take({one.message(1, 0)});
  ASSERT_TRUE(one.free.non_finite());
  EXPECT_EQ(one.free.non_finite()->update, 2);
  EXPECT_EQ(one.free.non_finite()->worker, 1);
  EXPECT_EQ(one.free.non_finite()->element, one.range.begin + 2);
}

TEST(FreeShards, CheckWhatArrives) {
  Single one;
  EXPECT_TRUE(throws<ExchangeError>({"worker 0", "has no weights"}, [&] { one.take({one.message(0, 0)}); }));
  one.free.start();
  EXPECT_TRUE(throws<ExchangeError>({"worker 0 has weights already"}, [&] { one.free.start(); }));
  EXPECT_TRUE(throws<ExchangeError>({"worker 2", "2"}, [&] { one.take({one.message(2, 0)}); }));
  EXPECT_TRUE(throws<ExchangeError>({"version 3", "version 0"}, [&] { one.take({one.message(0, 3)}); }));
  GradientMessage message = one.message(0, 0);
  message.values = message.values.subspan(0, 16);
  EXPECT_TRUE(throws<ExchangeError>({"floats"}, [&] { one.take({message}); }));
  EXPECT_TRUE(throws<ExchangeError>({"worker 1", "waits for a reply"},
                                    [&] { one.take({one.message(1, 0), one.message(1, 0)}); }));
  Single gone;
  gone.free.start();
  EXPECT_TRUE(gone.take({{0, {.cancelled = 1}, {}}}).empty());
  EXPECT_FALSE(gone.free.done());
  EXPECT_TRUE(throws<ExchangeError>({"worker 0", "has left"}, [&] { gone.take({gone.message(0, 0)}); }));
  gone.take({{1, {.cancelled = 1}, {}}});
  EXPECT_TRUE(gone.free.done());
}

TEST(FreeShards, ArePartsOfARunThatAppliesEveryGradient) {
  for (const PolicyOptions& policy : std::vector<PolicyOptions>{{.name = "bound", .bound = 3},
                                                                {.name = "ringmaster", .bound = 3},
                                                                {.name = "rennala", .gradients = 2},
                                                                {.name = "none", .warmup_updates = 3, .warmup_gradients = 2}}) {
    EXPECT_TRUE(throws<InputError>({"applies every gradient"}, [&] { Single one(policy); })) << policy.name;
    Exec exec = plain_exec();
    EXPECT_TRUE(throws<InputError>({"applies every gradient", "does not"}, [&] { FreeRun(exec, {.policy = policy}); }));
  }
  EXPECT_TRUE(throws<InputError>({"0 workers"}, [] { Single({}, {.workers = 0}); }));
  Model one(kModel, sgd(0.5));
  EXPECT_TRUE(throws<InputError>({"several masters"}, [&] {
    MasterState(one.updater, one.history, {.schedule = {5}, .order = Order::free});
  }));
}

}  // namespace
}  // namespace apam::exchange::test
