#include "apam/exchange/drivers/loop.h"

#include <algorithm>
#include <vector>

#include "apam/exchange/error.h"

namespace apam::exchange {
namespace {

// So often a master without gradients looks for a signal.
constexpr Duration kPatience = std::chrono::milliseconds(100);

void rest(const MasterState& state, double at, std::optional<Ending> ending, const MasterTransport& transport,
          Observer& observer) {
  const WeightHistory* const history = state.whole_history();
  if (history == nullptr) return;
  observer.on_rest({.update = state.version(),
                    .at = at,
                    .ending = ending,
                    .history = history,
                    .batches = [&] { return state.progress(); },
                    .copied_bytes = [&] { return transport.copied_bytes(); }});
}

}  // namespace

void carry_out(std::span<const Action> actions, MasterTransport& transport, Observer& observer, std::span<const Event> events) {
  for (const Action& action : actions) {
    if (const auto* send = std::get_if<Send>(&action)) transport.send(send->worker, send->reply, send->version);
    if (const auto* cancel = std::get_if<Cancel>(&action)) transport.cancel(cancel->worker, cancel->computed_at);
  }
  observer.on_events(events);
  for (const Action& action : actions) {
    if (const auto* applied = std::get_if<Applied>(&action)) observer.on_update(applied->record);
    if (const auto* snapshot = std::get_if<Snapshot>(&action)) observer.on_snapshot(snapshot->state);
    if (const auto* left = std::get_if<Left>(&action)) observer.on_departure(left->departure, left->at);
  }
}

void take(std::span<const Event> events, double at, MasterState& state, MasterTransport& transport, Observer& observer) {
  const std::int64_t before = state.version();
  carry_out(state.on(events, at), transport, observer, events);
  if (state.version() != before) rest(state, at, {}, transport, observer);
}

void tell_end(const MasterState& state, double at, const MasterTransport& transport, Observer& observer) {
  rest(state, at, state.ending(), transport, observer);
}

void run_master(MasterState& state, MasterTransport& transport, Control& control, Observer& observer) {
  require<ExchangeError>(transport.workers() == state.workers(), "master: a transport for {} workers, expected {}",
                         transport.workers(), state.workers());
  std::vector<Event> events;
  for (int worker = 0; worker < state.workers(); ++worker) events.emplace_back(Joined{worker});
  take(events, control.now(), state, transport, observer);
  bool stops = false;
  while (!state.done()) {
    const auto arrived = transport.poll(kPatience);
    std::size_t taken = 0;
    do {
      events.clear();
      if (const int signal = control.stop_signal(); signal != 0 && !std::exchange(stops, true)) {
        events.emplace_back(StopRequested{signal});
      }
      const std::size_t together = std::min<std::size_t>(arrived.size() - taken, MasterState::kMostTogether);
      for (const GradientMessage& message : arrived.subspan(taken, together)) events.emplace_back(GradientReady{message});
      taken += together;
      if (taken == arrived.size()) {
        for (const Departure& one : transport.departed()) events.emplace_back(Departed{one.worker, one.why});
      }
      if (events.empty()) events.emplace_back(Tick{});
      take(events, control.now(), state, transport, observer);
    } while (taken < arrived.size());
  }
  transport.finish();
  tell_end(state, control.now(), transport, observer);
}

}  // namespace apam::exchange
