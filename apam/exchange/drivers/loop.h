// The only loop around a MasterState: events from a transport and a control, actions to the transport and an observer.
//
//   poll -> gradients, up to MasterState::kMostTogether per call of on(): usually one pass, before whose end no reply leaves
//        -> replies first, then the observer
#pragma once

#include "apam/exchange/control.h"
#include "apam/exchange/master_state.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

/// Lets all workers join, takes events until the state is done, and finishes the transport. Stops the run on a signal from
/// `control`. Throws ExchangeError if the transport has another number of workers; passes on exceptions of transport and
/// observer.
void run_master(MasterState& state, MasterTransport& transport, Control& control, Observer& observer);

/// Sends replies and cancellations, then tells the observer of the events and what has come of them.
void carry_out(std::span<const Action> actions, MasterTransport& transport, Observer& observer,
               std::span<const Event> events = {});

/// Hands events to the state, carries out its actions, and tells the observer after a pass that updates are at rest.
void take(std::span<const Event> events, double at, MasterState& state, MasterTransport& transport, Observer& observer);

/// Tells the observer that the run has ended.
void tell_end(const MasterState& state, double at, const MasterTransport& transport, Observer& observer);

}  // namespace apam::exchange
