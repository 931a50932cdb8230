#include "apam/exchange/drivers/replay.h"

#include <utility>

#include "apam/exchange/drivers/loop.h"
#include "apam/exchange/error.h"

namespace apam::exchange {
namespace {

using Kind = RecordedEvent::Kind;

void record(const Joined& /*event*/, RecordedCall& call) {
  if (call.empty() || call.back().kind != Kind::start) call.push_back({Kind::start, 0});
  ++call.back().number;
}
void record(const GradientReady& event, RecordedCall& call) {
  const GradientHeader& header = event.message.header;
  call.push_back({header.cancelled != 0 ? Kind::cancelled : Kind::gradient, event.message.worker, header.signal});
}
void record(const Departed& event, RecordedCall& call) { call.push_back({Kind::departed, event.worker}); }
void record(const StopRequested& event, RecordedCall& call) { call.push_back({Kind::stop, event.signal}); }
void record(const Tick& /*event*/, RecordedCall& /*call*/) {}

}  // namespace

RecordedCall recorded(std::span<const Event> events) {
  RecordedCall call;
  for (const Event& event : events) std::visit([&](const auto& one) { record(one, call); }, event);
  return call;
}

ReplayedWorkers::ReplayedWorkers(int workers, bool ahead, ReplayedGradients& gradients, std::vector<Span<float>> contributions)
    : ahead_(ahead),
      gradients_(gradients),
      contributions_(std::move(contributions)),
      workers_(static_cast<std::size_t>(workers)) {}

ReplayedWorkers::WorkerState& ReplayedWorkers::worker(int index, std::string_view what) {
  require<InputError>(index >= 0 && index < workers(), "replay: {} of worker {}, there are {}", what, index, workers());
  return workers_[static_cast<std::size_t>(index)];
}

std::span<const Event> ReplayedWorkers::events(const RecordedCall& call) {
  events_.clear();
  std::size_t used = 0;
  for (const RecordedEvent& event : call) {
    switch (event.kind) {
      case Kind::start:
        fail<InputError>("replay: {} workers join a run that has begun", event.number);
      case Kind::gradient:
        require<InputError>(used < contributions_.size(), "replay: more than {} gradients in one call", contributions_.size());
        events_.emplace_back(GradientReady{gradient(event, contributions_[used++])});
        break;
      case Kind::cancelled:
        events_.emplace_back(GradientReady{gradient(event, {})});
        break;
      case Kind::departed:
        worker(event.number, "departure") = {};
        events_.emplace_back(Departed{event.number, "left the recorded run"});
        break;
      case Kind::stop:
        events_.emplace_back(StopRequested{event.number});
        break;
    }
  }
  return events_;
}

GradientMessage ReplayedWorkers::gradient(const RecordedEvent& event, Span<float> contribution) {
  WorkerState& state = worker(event.number, "a gradient");
  require<InputError>(state.works && !state.leases.empty(), "replay: a gradient of worker {}, which waits for a reply",
                      event.number);
  const VersionRef version = state.ahead ? std::exchange(state.ahead, {}) : state.version;
  const std::int64_t batch = state.leases.front();
  state.leases.pop_front();
  state.works = false;
  // It begins the next one before the reply to this one.
  if (ahead_ && !state.leases.empty()) state.ahead = state.version;
  GradientHeader header;
  if (event.kind == Kind::cancelled) {
    header.cancelled = 1;
  } else {
    header = gradients_.compute(event.number, batch, version.weights(), contribution);
  }
  header.batch = batch;
  header.computed_at = version.version();
  header.signal = event.signal;
  return {event.number, header, event.kind == Kind::cancelled ? ConstSpan<float>() : contribution};
}

void ReplayedWorkers::send(int index, const Reply& reply, const VersionRef& version) {
  WorkerState& state = worker(index, "a reply");
  if (reply.verdict == Verdict::stop) {
    state = {};
    return;
  }
  state.works = true;
  state.version = version;
  for (int i = 0; i < reply.lease_count; ++i) state.leases.push_back(reply.leases.at(static_cast<std::size_t>(i)));
}

void begin_replay(MasterState& master, ReplayedWorkers& workers, Observer& observer, double at) {
  std::vector<Event> events;
  for (int worker = 0; worker < master.workers(); ++worker) events.emplace_back(Joined{worker});
  take(events, at, master, workers, observer);
}

bool replay(const RecordedCall& call, MasterState& master, ReplayedWorkers& workers, Observer& observer, double at) {
  const bool running = master.version() < master.updates() && master.ending().why == Ending::Why::complete;
  if (running) take(workers.events(call), at, master, workers, observer);
  return running;
}

}  // namespace apam::exchange
