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

/// Sends replies and cancellations, then tells the observer.
void carry_out(std::span<const Action> actions, MasterTransport& transport, Observer& observer);

}  // namespace apam::exchange
