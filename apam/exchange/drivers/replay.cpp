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

ReplayedWorkers::ReplayedWorkers(int workers, bool ahead, ReplayedGradients& gradients)
    : ahead_(ahead), gradients_(gradients), workers_(static_cast<std::size_t>(workers)) {}

ReplayedWorkers::WorkerState& ReplayedWorkers::worker(int index, std::string_view what) {
  require<InputError>(index >= 0 && index < workers(), "replay: {} of worker {}, there are {}", what, index, workers());
  return workers_[static_cast<std::size_t>(index)];
}

std::span<const Event> ReplayedWorkers::events(const RecordedCall& call) {
  events_.clear();
  gradients_.release();
  for (const RecordedEvent& event : call) {
    switch (event.kind) {
      case Kind::start:
        fail<InputError>("replay: {} workers join a run that has begun", event.number);
      case Kind::gradient:
      case Kind::cancelled:
        events_.emplace_back(GradientReady{arrive(event)});
        break;
      case Kind::departed:
        end(event.number, worker(event.number, "departure"));
        events_.emplace_back(Departed{event.number, "left the recorded run"});
        break;
      case Kind::stop:
        events_.emplace_back(StopRequested{event.number});
        break;
    }
  }
  return events_;
}

GradientMessage ReplayedWorkers::arrive(const RecordedEvent& event) {
  const int index = event.number;
  WorkerState& state = worker(index, "a gradient");
  require<InputError>(std::exchange(state.works, false), "replay: a gradient of worker {}, which waits for a reply", index);
  const Begun begun = state.begun.front();
  state.begun.pop_front();
  GradientMessage message{.worker = index, .header = {}, .values = {}};
  if (event.kind == Kind::cancelled) {
    gradients_.give_up(index);
    message.header.cancelled = 1;
  } else {
    const auto [header, values] = gradients_.take(index);
    message.header = header;
    message.values = values;
  }
  message.header.batch = begun.batch;
  message.header.computed_at = begun.computed_at;
  message.header.signal = event.signal;
  if (ahead_ && !state.leases.empty()) begin_next(index, state);  // before the reply
  return message;
}

void ReplayedWorkers::send(int index, const Reply& reply, const VersionRef& version) {
  WorkerState& state = worker(index, "a reply");
  if (reply.verdict == Verdict::stop) return end(index, state);
  state.works = true;
  state.version = version;
  for (int i = 0; i < reply.lease_count; ++i) state.leases.push_back(reply.leases.at(static_cast<std::size_t>(i)));
  if (state.begun.empty()) begin_next(index, state);
}

void ReplayedWorkers::begin_next(int index, WorkerState& state) {
  state.begun.push_back({state.leases.front(), state.version.version()});
  state.leases.pop_front();
  gradients_.begin(index, state.begun.back().batch, state.version);
}

/// It computes nothing more.
void ReplayedWorkers::end(int index, WorkerState& state) {
  for (std::size_t i = 0; i < state.begun.size(); ++i) gradients_.give_up(index);
  state = {};
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
