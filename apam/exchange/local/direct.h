// Local training: the master and one worker in one thread on one arena, without copies. It uses the same Master::handle as
// asynchronous training, so one asynchronous worker computes the same bits.
#pragma once

#include "apam/exchange/gradient_source.h"
#include "apam/exchange/master.h"

namespace apam::exchange {

/// Trains until the master is done or `control` has a signal. Throws InputError unless the master has one worker and
/// source.arena() is its arena.
void train_directly(Master& master, GradientSource& source, Control& control);

}  // namespace apam::exchange
