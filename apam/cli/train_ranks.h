// Training by several processes over MPI.
#pragma once

#include "apam/cli/commands.h"
#include "apam/cli/interruption.h"

namespace apam::cli {

/// Reports which rank has an invalid command line, and ends all ranks. `mistake`: on this rank, which may be the only one.
/// Collective with the set-up of train_ranks(); gives up after a few seconds if other ranks do not start MPI. Returns the exit
/// code.
int refuse_on_all_ranks(const CommandLine& command, int status, const std::string& mistake);

/// Starts MPI and trains asynchronously (rank 0 is the master) or synchronously, as options.exchange selects. Collective. All
/// ranks return the same exit code. A mistake in the set-up of any rank is reported once; a later failure is reported by the
/// rank that has it, which ends the job. Throws ExchangeError if MPI does not start.
int train_ranks(const training::TrainOptions& options, const CommandLine& command, const Interruption& interruption);

}  // namespace apam::cli
