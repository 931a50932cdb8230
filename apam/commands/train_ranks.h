// Training by several processes over MPI.
#pragma once

#include "apam/commands/commands.h"
#include "apam/mpi/environment.h"

namespace apam::commands {

/// Asynchronous (rank 0 is the master) or synchronous, as options.exchange says. Collective. Mistakes in the set-up of any
/// rank are told by one of them, and all return a status other than 0; later failures throw.
int train_ranks(const exchange::mpi::Environment& environment, const TrainOptions& options, const CommandLine& command);

}  // namespace apam::commands
