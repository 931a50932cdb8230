// Masters with orders of their own (Order::free) and their workers, in one process. A test says which acts next.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apam/exchange/shards/free_shard.h"
#include "apam/exchange/worker.h"
#include "tests/exchange/shards_support.h"

namespace apam::exchange::test {

inline const QuadraticOptions kFreeModel{.sizes = {33, 5, 70}, .channels = 3, .rows = 2, .spread = 1.5F};

struct FreeOptions {
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
  FreeRun(Exec& exec, const FreeOptions& options)
      : options_(options), layout_(quadratic_layout(kFreeModel)), policy_(make_policy(options.policy)) {
    HistoryLayout layout = history_layout(kFreeModel, options.workers);
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
      if (message.header.cancelled == 0) one.taken.push_back({message.worker, message.header, values(message.values)});
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

  /// What one master makes of the gradients that this one has taken, one by one, computed again: the range of this one.
  std::vector<float> replayed(int master) {
    Model model(kFreeModel, amsgrad(0.01));
    const ShardRange whole{0, layout_.weights_size(), layout_.statistics_size()};
    RangeUpdater work(model.updater, whole, *policy_);
    std::deque<Buffer> states;  // by version
    const auto state_after = [&](const auto& from) -> Span<float> {
      const Span<float> state = states.emplace_back(Device{}, whole.size() * sizeof(float)).template as<float>();
      copy(from, state);
      return state;
    };
    state_after(ConstSpan<float>(model.arena.state()));
    std::map<int, std::int64_t> updated;
    for (const auto& [worker, header, gradient] : of(master).taken) {
      if (!options_.schedule.keep_going && !std::isfinite(header.loss_sum)) continue;
      const auto version = static_cast<std::int64_t>(states.size()) - 1;
      const auto former = updated.find(worker);
      const Arrival arrival{.staleness = version - header.computed_at,
                            .update = version + 1,
                            .rate = model.updater.rate(version + 1),
                            .gap = former != updated.end() ? std::optional(version + 1 - former->second) : std::nullopt,
                            .workers = options_.workers};
      updated[worker] = version + 1;
      ShardPass pass{.count = 1, .steps = {policy_->step_factor(arrival)}};
      using Kind = GradientChange::Kind;
      if (policy_->changes_gradients() && policy_->gradient_factor(arrival) != 1) {
        pass.change = {.kind = Kind::scaled, .factor = static_cast<float>(policy_->gradient_factor(arrival))};
      } else if (policy_->compensation() != 0 && arrival.staleness > 0) {
        pass.change = {.kind = Kind::compensated, .factor = static_cast<float>(policy_->compensation())};
      }
      const ConstSpan<float> from = states.back().as<float>();
      const ConstSpan<float> base = states.at(static_cast<std::size_t>(header.computed_at)).as<float>();
      const ConstSpan<float> contribution(std::span<const float>{gradient});
      work.apply(pass, {.contributions = std::span(&contribution, 1), .from = from, .to = state_after(from), .base = base});
    }
    return values(of(master).shard.range.of(ConstSpan<float>(states.back().as<float>())));
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
    int worker;
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
        : source(kFreeModel),
          second(make_second(kFreeModel)),
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

  FreeOptions options_;
  engine::ParameterLayout layout_;
  std::unique_ptr<const StalenessPolicy> policy_;
  std::vector<std::unique_ptr<Master>> masters_;
  std::vector<std::unique_ptr<One>> workers_;
  std::optional<MasterState> state_;
  bool stopped_ = false;
};

}  // namespace apam::exchange::test
