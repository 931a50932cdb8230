// Local training: the master and one worker in one thread. It uses the same Master::handle as asynchronous training, so one
// asynchronous worker computes the same bits. Both share one arena, without copies. With artificial delay (artificial_delay.h)
// the worker has its own, and gets a copy of the version chosen for its next gradient.
#pragma once

#include "apam/exchange/gradient_source.h"
#include "apam/exchange/master.h"

namespace apam::exchange {

/// Trains until the master is done or `control` has a signal. Throws InputError unless the master has one worker and
/// source.arena() is the master's arena or, with artificial delay, another one.
void train_directly(Master& master, GradientSource& source, Control& control);

}  // namespace apam::exchange
