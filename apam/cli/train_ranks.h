// Training by several processes over MPI.
#pragma once

#include "apam/cli/commands.h"
#include "apam/cli/interruption.h"

namespace apam::cli {

/// Says on which rank the command line is wrong, and ends all of them: `mistake` is this rank's, which may be the only one.
/// Collective with the set-up of train_ranks(); gives up after a few seconds where other ranks start no MPI. Returns the
/// status.
int refuse_on_all_ranks(const CommandLine& command, int status, const std::string& mistake);

/// Starts MPI and trains asynchronously (rank 0 is the master) or synchronously, as options.exchange says. Collective. All
/// ranks return the same status. Mistakes in the set-up of any rank are told by one of them; a later failure is told by the
/// rank that has it, which ends the job. Throws ExchangeError when MPI does not start.
int train_ranks(const TrainOptions& options, const CommandLine& command, const Interruption& interruption);

}  // namespace apam::cli
