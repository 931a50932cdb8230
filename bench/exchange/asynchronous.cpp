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

/// What is different with several masters, or workers that prefetch weights.
struct Variant {
  std::optional<exchange::ShardRange> range{};  ///< of the sequencer
  exchange::ShardFollowers* followers = nullptr;
  bool prefetches = false;
};

engine::ParameterArena arena_of(const ExchangeSettings& settings, const exchange::ShardRange& range) {
  return {{}, layout_of(flat_layout(settings.parameters), range), engine::ParameterArena::Contents::none};
}

/// The master's part. `versions`: memory for the weight history; empty: its own.
ExchangeResult run_master(exchange::MasterTransport& transport, const exchange::HistoryLayout& layout, Span<float> versions,
                          const ExchangeSettings& settings, const Variant& variant = {}) {
  Exec exec({.threads = settings.master_threads});
  const engine::ParameterArena arena({}, flat_layout(settings.parameters), engine::ParameterArena::Contents::state);
  arena.initialize(1);
  std::optional<engine::ParameterArena> part;
  if (variant.range) part.emplace(arena_of(settings, *variant.range));
  engine::Updater updater(exec, part ? *part : arena, {});
  updater.choose_kernels(std::min(transport.workers(), kMostTogether));
  std::optional<exchange::WeightHistory> history;
  versions.empty() ? history.emplace(Device{}, layout) : history.emplace(versions, layout);
  history->publish_first(arena.state());
  ExchangeResult result{.transport = std::string(transport.name())};
  PassCounter passes(result);
  exchange::MasterState master(updater, *history,
                               {.workers = transport.workers(),
                                .schedule = {.total_updates = settings.updates},
                                .range = variant.range,
                                .followers = variant.followers,
                                .ahead = variant.prefetches});
  exchange::TraceTrack track("master", 0);  // only its sums are needed
  OverlapMeter meter(transport, result.copied_during_updates);
  exchange::TracedMaster traced(meter, passes, track);
  exchange::NullControl control;
  const auto begin = Clock::now();
  exchange::run_master(master, traced, control, traced);
  result.seconds = seconds_between(begin, Clock::now());
  using Kind = exchange::TraceKind;
  result.parts = {.wait = track.seconds(Kind::wait), .update = track.seconds(Kind::pass), .reply = track.seconds(Kind::reply)};
  result.copied_bytes = transport.copied_bytes();
  result.mean_staleness = master.staleness().mean();
  result.max_staleness = master.staleness().max();
  return result;
}

/// The part of a master that does not order.
void run_shard(const exchange::shared::Segment& segment, int master, const ExchangeSettings& settings) {
  const exchange::HistoryLayout& history = segment.layout().history;
  const auto ranges = exchange::split_state(history.weights, history.statistics, settings.masters);
  const exchange::ShardRange& range = ranges[static_cast<std::size_t>(master)];
  Exec exec({.threads = settings.master_threads});
  const engine::ParameterArena arena = arena_of(settings, range);
  engine::Updater updater(exec, arena, {});
  updater.choose_kernels(std::min(segment.layout().workers, kMostTogether));
  const exchange::StalenessPolicy none;
  const exchange::shared::SegmentMemory memory(segment);
  exchange::ShardFollower follower(updater, range, none, memory);
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

exchange::HistoryLayout history_layout(int workers, const engine::ParameterLayout& model) {
  return {model.weights_size(), model.statistics_size(), 1, exchange::HistoryLayout::slots_for(workers, 0)};
}

ExchangeResult run_messages(const Environment& environment, const ExchangeSettings& settings, bool prefetches) {
  const engine::ParameterLayout model = flat_layout(settings.parameters);
  using exchange::mpi::Wire;
  const exchange::mpi::MessageSizes sizes{.contribution = model.weights_size() + model.statistics_size(),
                                          .weights = model.weights_size(),
                                          .wire = settings.wire == "bf16" ? Wire::bfloat16 : Wire::float32};
  if (environment.rank() == 0) {
    const auto transport = exchange::mpi::make_master_transport(environment, sizes);
    return run_master(*transport, history_layout(environment.ranks() - 1, model), {}, settings, {.prefetches = prefetches});
  }
  const engine::ParameterArena arena({}, model);
  std::optional<engine::ParameterArena> second;
  if (prefetches) second.emplace(Device{}, model);
  const auto transport = exchange::mpi::make_worker_transport(
      environment, sizes, arena.weights(), exchange::mpi::Sends::standard, second ? second->weights() : Span<float>());
  run_worker(*transport, arena, environment.rank() - 1, settings, second ? second->outgoing() : Span<float>());
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
      environment.rank(), layout, [&](std::string_view text) { return all_gather_strings(environment, text); });
  if (environment.rank() == 0) {
    const auto transport = shared::make_master_transport(rank.segment, &rank.others);
    if (settings.masters == 1) return run_master(*transport, layout.history, rank.segment.versions(), settings);
    const auto followers = shared::make_followers(rank.segment, model, &rank.followers);
    const auto ranges = exchange::split_state(layout.history.weights, layout.history.statistics, settings.masters);
    return run_master(*transport, layout.history, rank.segment.versions(), settings, {ranges[0], followers.get()});
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
