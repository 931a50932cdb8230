// Local training: the master and one worker in one thread. It takes the same events as asynchronous training, so one
// asynchronous worker computes the same bits. Without delay, updates are made in place: the history has one slot, which is the
// state of the source's arena. With artificial delay (artificial_delay.h) the worker gets a copy of the version chosen for its
// next gradient.
#pragma once

#include "apam/exchange/control.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/master_state.h"
#include "apam/exchange/observer.h"

namespace apam::exchange {

/// A history in place, in the state of an arena.
HistoryLayout in_place(const engine::ParameterLayout& layout);

/// Trains until the master is done or `control` has a signal. Throws InputError unless the master has one worker.
void train_directly(MasterState& master, GradientSource& source, Control& control, Observer& observer);

}  // namespace apam::exchange
