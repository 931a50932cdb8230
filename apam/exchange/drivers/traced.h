// Decorators that record what a rank does (trace.h). They change no argument and no result.
#pragma once

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/drivers/trace.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

/// The transport and the observer of run_master(). A pass is what lies between poll(), or the observer of the pass before, and
/// its first reply or, without replies, its first update: usually one pass over memory, and never more than one call of on().
class TracedMaster final : public MasterTransport, public Observer {
 public:
  /// All must outlive this.
  TracedMaster(MasterTransport& transport, Observer& observer, TraceTrack& track)
      : transport_(transport), observer_(observer), track_(track) {}

  int workers() const override { return transport_.workers(); }
  std::string_view name() const override { return transport_.name(); }
  std::span<const GradientMessage> poll(Duration timeout) override;
  void send(int worker, const Reply& reply, const VersionRef& version) override;
  void cancel(int worker, std::int64_t computed_at) override { transport_.cancel(worker, computed_at); }
  std::span<const Departure> departed() override { return transport_.departed(); }
  void finish() override;
  std::int64_t copied_bytes() const override { return transport_.copied_bytes(); }

  void on_events(std::span<const Event> events) override { observer_.on_events(events); }
  void on_update(const UpdateRecord& record) override;
  void on_snapshot(const StateSnapshot& snapshot) override;
  void on_rest(const RestPoint& point) override;
  void on_departure(const Departure& departure, double at) override { observer_.on_departure(departure, at); }

 private:
  enum class Phase : std::uint8_t { starting, polled, replying, observing };

  void begin_actions();
  void close_pass();

  MasterTransport& transport_;
  Observer& observer_;
  TraceTrack& track_;
  Phase phase_ = Phase::starting;
  std::int64_t left_ = 0;  // when poll(), or the observer, returned
  TraceEvent pass_;        // without updates: none
};

class TracedWorker final : public WorkerTransport {
 public:
  TracedWorker(WorkerTransport& transport, TraceTrack& track) : transport_(transport), track_(track) {}

  bool keeps_weights() const override { return transport_.keeps_weights(); }
  bool sends_early() const override { return transport_.sends_early(); }
  void offer(ConstSpan<float> values, std::size_t from) override { transport_.offer(values, from); }
  void push(const GradientHeader& header, ConstSpan<float> values) override;
  bool cancelled(std::int64_t computed_at) override { return transport_.cancelled(computed_at); }
  Delivery pull() override;

 private:
  WorkerTransport& transport_;
  TraceTrack& track_;
};

/// Waiting for sums. What is started and progressed within a computation is part of it.
class TracedAllReduce final : public AllReduce {
 public:
  TracedAllReduce(AllReduce& all_reduce, TraceTrack& track) : all_reduce_(all_reduce), track_(track) {}

  int rank() const override { return all_reduce_.rank(); }
  int ranks() const override { return all_reduce_.ranks(); }
  std::string_view name() const override { return all_reduce_.name(); }
  bool sends_early() const override { return all_reduce_.sends_early(); }
  void start(Span<float> values) override { all_reduce_.start(values); }
  void start_scaled(Span<float> values, float factor) override { all_reduce_.start_scaled(values, factor); }
  void progress() override { all_reduce_.progress(); }
  void finish() override;
  ConstSpan<float> sums(Span<float> values) const override { return all_reduce_.sums(values); }
  void sum(std::span<double> values) override;
  std::vector<std::uint64_t> gather(std::uint64_t value) override { return all_reduce_.gather(value); }
  void broadcast(Span<float> values) override { all_reduce_.broadcast(values); }

 private:
  AllReduce& all_reduce_;
  TraceTrack& track_;
};

/// The observer of local and synchronous training. An update is what lies between the event before, on the same track, and its
/// record; at a snapshot of synchronous training with the comparison of the replicas.
class TracedObserver final : public Observer {
 public:
  TracedObserver(Observer& observer, TraceTrack& track) : observer_(observer), track_(track) {}

  void on_update(const UpdateRecord& record) override;
  void on_snapshot(const StateSnapshot& snapshot) override;
  void on_rest(const RestPoint& point) override { observer_.on_rest(point); }

 private:
  Observer& observer_;
  TraceTrack& track_;
};

}  // namespace apam::exchange
