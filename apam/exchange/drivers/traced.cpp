#include "apam/exchange/drivers/traced.h"

namespace apam::exchange {

std::span<const GradientMessage> TracedMaster::poll(Duration timeout) {
  close_pass();
  std::span<const GradientMessage> messages;
  {
    TraceScope scope(&track_, TraceKind::wait);
    messages = transport_.poll(timeout);
    scope.event.number = static_cast<std::int64_t>(messages.size());
  }
  for (const GradientMessage& message : messages) {
    const std::int64_t at = track_.last_end();
    track_.add({.begin = at,
                .end = at,
                .version = message.header.computed_at,
                .number = message.header.batch,
                .worker = message.worker,
                .kind = TraceKind::gradient});
  }
  phase_ = Phase::polled;
  left_ = track_.last_end();
  return messages;
}

/// The first reply or record after the state machine has run.
void TracedMaster::begin_actions() {
  close_pass();
  if (phase_ == Phase::starting) return;
  pass_ = {.begin = left_, .end = TraceTrack::now(), .number = 0, .kind = TraceKind::pass};
}

/// Its records have counted its updates. Without one there was no pass.
void TracedMaster::close_pass() {
  if (pass_.number > 0) track_.add(pass_);
  pass_ = {};
}

void TracedMaster::send(int worker, const Reply& reply, const VersionRef& version) {
  if (phase_ != Phase::replying) begin_actions();
  if (phase_ != Phase::starting) phase_ = Phase::replying;
  TraceScope scope(&track_, TraceKind::reply);
  scope.event.version = reply.version;
  scope.event.number = reply.verdict == Verdict::stop ? 1 : 0;
  scope.event.worker = worker;
  transport_.send(worker, reply, version);
}

void TracedMaster::finish() {
  close_pass();
  transport_.finish();
}

void TracedMaster::on_update(const UpdateRecord& record) {
  if (phase_ == Phase::polled) begin_actions();
  phase_ = Phase::observing;
  ++pass_.number;
  pass_.version = record.update;
  observer_.on_update(record);
  left_ = TraceTrack::now();
}

void TracedMaster::on_snapshot(const StateSnapshot& snapshot) {
  phase_ = Phase::observing;
  {
    TraceScope scope(&track_, TraceKind::snapshot);
    scope.event.version = snapshot.update;
    observer_.on_snapshot(snapshot);
  }
  left_ = track_.last_end();
}

void TracedMaster::on_rest(const RestPoint& point) {
  observer_.on_rest(point);
  left_ = TraceTrack::now();
}

void TracedWorker::push(const GradientHeader& header, ConstSpan<float> values) {
  TraceScope scope(&track_, TraceKind::push);
  scope.event.version = header.computed_at;
  scope.event.number = header.batch;
  transport_.push(header, values);
}

Delivery TracedWorker::pull() {
  TraceScope scope(&track_, TraceKind::pull);
  Delivery delivery = transport_.pull();
  scope.event.version = delivery.reply.version;
  return delivery;
}

void TracedAllReduce::finish() {
  const TraceScope scope(&track_, TraceKind::all_reduce);
  all_reduce_.finish();
}

void TracedAllReduce::sum(std::span<double> values) {
  const TraceScope scope(&track_, TraceKind::headers);
  all_reduce_.sum(values);
}

void TracedObserver::on_update(const UpdateRecord& record) {
  const std::int64_t begin = track_.last_end();
  if (begin > 0) {
    track_.add({.begin = begin, .end = TraceTrack::now(), .version = record.update, .kind = TraceKind::update});
  }
  observer_.on_update(record);
}

void TracedObserver::on_snapshot(const StateSnapshot& snapshot) {
  TraceScope scope(&track_, TraceKind::snapshot);
  scope.event.version = snapshot.update;
  observer_.on_snapshot(snapshot);
}

}  // namespace apam::exchange
