// Training by several processes over MPI.
#pragma once

#include "apam/commands/commands.h"
#include "apam/run/interruption.h"

namespace apam::commands {

/// Starts MPI and trains asynchronously (rank 0 is the master) or synchronously, as options.exchange says. Collective. All
/// ranks return the same status. Mistakes in the set-up of any rank are told by one of them; a later failure is told by the
/// rank that has it, which ends the job. Throws ExchangeError when MPI does not start.
int train_ranks(const TrainOptions& options, const CommandLine& command, const run::Interruption& interruption);

}  // namespace apam::commands
