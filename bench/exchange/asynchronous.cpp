// The exchange of asynchronous training, with workers that sleep in place of computing.
#include <algorithm>
#include <optional>
#include <thread>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/drivers/traced.h"
#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/shared/followers.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/exchange/worker.h"
#include "bench/exchange/run.h"

namespace apam::bench {
namespace {

using Clock = std::chrono::steady_clock;
using exchange::mpi::Environment;

/// Sleeps for the time of a computation. The gradient is there from the beginning.
class SleepingSource final : public exchange::GradientSource {
 public:
  SleepingSource(const engine::ParameterArena& arena, const ExchangeSettings& settings)
      : arena_(arena),
        compute_(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(settings.compute_ms))) {}

  void prepare(const exchange::BatchShare& /*share*/) override {}
  exchange::GradientHeader compute(const exchange::BatchShare& share) override {
    std::this_thread::sleep_until(Clock::now() + compute_);
    return {.batch = share.batch, .rows = 1};
  }
  const engine::ParameterArena& arena() const override { return arena_; }
  void on_gradient_ready(std::function<void(engine::ParameterId)> /*callback*/) override {}

 private:
  const engine::ParameterArena& arena_;
  Clock::duration compute_;
};

/// Counts the bytes that move while the master does not call its transport: while it applies updates.
class OverlapMeter final : public exchange::MasterTransport {
 public:
  OverlapMeter(exchange::MasterTransport& transport, std::int64_t& bytes) : transport_(transport), bytes_(bytes) {}

  int workers() const override { return transport_.workers(); }
  std::string_view name() const override { return transport_.name(); }
  std::span<const exchange::GradientMessage> poll(exchange::Duration timeout) override {
    enter();
    const auto messages = transport_.poll(timeout);
    leave();
    return messages;
  }
  void send(int worker, const exchange::Reply& reply, const exchange::VersionRef& version) override {
    enter();
    transport_.send(worker, reply, version);
    leave();
  }
  void cancel(int worker, std::int64_t computed_at) override { transport_.cancel(worker, computed_at); }
  std::span<const exchange::Departure> departed() override { return transport_.departed(); }
  void finish() override { transport_.finish(); }
  std::int64_t copied_bytes() const override { return transport_.copied_bytes(); }

 private:
  void enter() { bytes_ += transport_.copied_bytes() - left_at_; }
  void leave() { left_at_ = transport_.copied_bytes(); }

  exchange::MasterTransport& transport_;
  std::int64_t& bytes_;
  std::int64_t left_at_ = 0;  // copied bytes when the last call returned
};

/// Counts passes.
class PassCounter final : public exchange::Observer {
 public:
  explicit PassCounter(ExchangeResult& result) : result_(result) {}

  void on_update(const exchange::UpdateRecord& record) override {
    // Of a pass of k gradients the records have the places 1 to k: each moves it to the next count.
    const auto place = static_cast<std::size_t>(record.place);
    ++result_.passes.at(place - 1);
    if (place > 1) --result_.passes.at(place - 2);
  }
  void on_snapshot(const exchange::StateSnapshot& /*snapshot*/) override {}

 private:
  ExchangeResult& result_;
};

exchange::Order order_of(const ExchangeSettings& settings) {
  return settings.free ? exchange::Order::free : exchange::Order::sequenced;
}

exchange::HistoryLayout history_layout(int workers, const engine::ParameterLayout& model) {
  return {model.weights_size(), model.statistics_size(), 1, exchange::HistoryLayout::slots_for(workers, 0)};
}

/// The updates of a master's range.
struct Shard {
  Shard(const ExchangeSettings& settings, int master)
      : range(exchange::split_state(flat_layout(settings.parameters).weights_size(), 0,
                                    settings.masters)[static_cast<std::size_t>(master)]),
        exec({.threads = settings.master_threads}),
        arena({}, layout_of(flat_layout(settings.parameters), range), engine::ParameterArena::Contents::none),
        updater(exec, arena, {}) {}

  exchange::ShardRange range;
  Exec exec;
  engine::ParameterArena arena;
  engine::Updater updater;
};

/// What the master that orders has: the weights, and updates of its range.
struct Master {
  /// `versions`: memory for the weight history; empty: its own.
  Master(const ExchangeSettings& options, const exchange::HistoryLayout& layout, Span<float> versions = {})
      : settings(options), shard(options, 0) {
    versions.empty() ? history.emplace(Device{}, layout) : history.emplace(versions, layout);
    const engine::ParameterArena first({}, flat_layout(options.parameters), engine::ParameterArena::Contents::state);
    first.initialize(1);
    history->publish_first(first.state());
  }

  ExchangeResult run(exchange::MasterTransport& transport, exchange::ShardFollowers* followers, bool prefetches = false) {
    shard.updater.choose_kernels(std::min(transport.workers(), kMostTogether));
    ExchangeResult result{.transport = std::string(transport.name())};
    PassCounter passes(result);
    exchange::MasterState master(shard.updater, *history,
                                 {.workers = transport.workers(),
                                  .schedule = {.total_updates = settings.updates},
                                  .range = shard.range,
                                  .followers = followers,
                                  .order = order_of(settings),
                                  .ahead = prefetches});
    exchange::TraceTrack track("master", 0);  // only its sums are needed
    OverlapMeter meter(transport, result.copied_during_updates);
    exchange::TracedMaster traced(meter, passes, track);
    exchange::NullControl control;
    const auto begin = Clock::now();
    exchange::run_master(master, traced, control, traced);
    result.seconds = seconds_between(begin, Clock::now());
    using Kind = exchange::TraceKind;
    result.parts = {
        .wait = track.seconds(Kind::wait), .update = track.seconds(Kind::pass), .reply = track.seconds(Kind::reply)};
    result.copied_bytes = transport.copied_bytes();
    result.mean_staleness = master.staleness().mean();
    result.max_staleness = master.staleness().max();
    return result;
  }

  ExchangeSettings settings;
  Shard shard;
  std::optional<exchange::WeightHistory> history;
};

/// The part of a master that does not order.
void run_shard(const exchange::shared::Segment& segment, int master, const ExchangeSettings& settings) {
  Shard shard(settings, master);
  shard.updater.choose_kernels(std::min(segment.layout().workers, kMostTogether));
  const exchange::StalenessPolicy none;
  const exchange::shared::SegmentMemory memory(segment);
  exchange::ShardFollower follower(shard.updater, shard.range, none, memory);
  exchange::NullControl control;
  run_follower(segment, master, follower, control);
}

/// `second`: of a worker that prefetches weights.
void run_worker(exchange::WorkerTransport& transport, const engine::ParameterArena& arena, int worker,
                const ExchangeSettings& settings, Span<float> second = {}) {
  fill_gradient(worker, arena.gradients());
  if (!second.empty()) fill_gradient(worker, second);
  SleepingSource source(arena, settings);
  exchange::NullControl control;
  exchange::Worker(source, second).run(transport, control);
}

ExchangeResult order_messages(const exchange::mpi::Peers& peers, const exchange::HistoryLayout& layout,
                              const ExchangeSettings& settings, bool prefetches) {
  Master master(settings, layout);
  if (settings.masters == 1) {
    return master.run(*exchange::mpi::make_master_transport(peers), nullptr, prefetches);
  }
  const engine::ParameterLayout model = flat_layout(settings.parameters);
  const auto transport = exchange::mpi::make_sequencer_transport(peers, *master.history, model);
  return master.run(*transport, &transport->followers(), prefetches);
}

ExchangeResult run_messages(const Environment& environment, const ExchangeSettings& settings, bool prefetches) {
  const engine::ParameterLayout model = flat_layout(settings.parameters);
  using exchange::mpi::Wire;
  const exchange::mpi::MessageSizes sizes{.contribution = model.weights_size() + model.statistics_size(),
                                          .weights = model.weights_size(),
                                          .wire = settings.wire == "bf16" ? Wire::bfloat16 : Wire::float32,
                                          .masters = settings.masters,
                                          .order = order_of(settings)};
  const int rank = environment.rank(), worker = rank - settings.masters;
  const exchange::HistoryLayout layout = history_layout(environment.ranks() - settings.masters, model);
  const exchange::mpi::Peers peers(environment, sizes);
  if (rank == 0) return order_messages(peers, layout, settings, prefetches);
  if (worker < 0) {
    Shard shard(settings, rank);
    shard.updater.choose_kernels(std::min(environment.ranks() - settings.masters, kMostTogether));
    exchange::NullControl control;
    if (settings.free) {
      exchange::mpi::follow_freely(peers, shard.updater, layout, {}, {.ahead = prefetches}, control);
    } else {
      exchange::mpi::follow(peers, shard.updater, layout, {}, control);
    }
    return {};
  }
  const engine::ParameterArena arena({}, model);
  std::optional<engine::ParameterArena> second;
  if (prefetches) second.emplace(Device{}, model);
  const auto transport =
      exchange::mpi::make_worker_transport(peers, arena.weights(), second ? second->weights() : Span<float>());
  run_worker(*transport, arena, worker, settings, second ? second->outgoing() : Span<float>());
  return {};
}

}  // namespace

ExchangeResult run_pipelined(const Environment& environment, const ExchangeSettings& settings) {
  return run_messages(environment, settings, false);
}

ExchangeResult run_prefetched(const Environment& environment, const ExchangeSettings& settings) {
  return run_messages(environment, settings, true);
}

ExchangeResult run_shared(const Environment& environment, const ExchangeSettings& settings) {
  namespace shared = exchange::shared;
  const engine::ParameterLayout model = flat_layout(settings.parameters);
  const int workers = environment.ranks() - settings.masters;
  const shared::SegmentLayout layout{workers, history_layout(workers, model), settings.masters};
  const shared::SharedRank rank = shared::share_memory(
      environment.rank(), layout, false, [&](std::string_view text) { return all_gather_strings(environment, text); });
  if (environment.rank() == 0) {
    const auto transport = shared::make_master_transport(rank.segment, &rank.others);
    Master master(settings, layout.history, rank.segment.versions());
    if (settings.masters == 1) return master.run(*transport, nullptr);
    return master.run(*transport, make_followers(rank.segment, model, &rank.followers).get());
  }
  if (environment.rank() < settings.masters) {
    run_shard(rank.segment, environment.rank(), settings);
    return {};
  }
  const int worker = environment.rank() - settings.masters;
  engine::ParameterArena arena({}, model, engine::ParameterArena::Contents::none);
  arena.use_outgoing(rank.segment.contribution(worker));
  const auto transport = shared::make_worker_transport(rank.segment, worker, &rank.others);
  run_worker(*transport, arena, worker, settings);
  return {};
}

}  // namespace apam::bench
