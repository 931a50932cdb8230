// The exchange of gradients between the ranks of a training.
#pragma once

#include "apam/cli/rank.h"
#include "apam/exchange/control.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/training/options.h"

namespace apam::cli {

/// What this rank does, from the first step to the last update: orders updates (rank 0), follows with a range of the weights,
/// or computes gradients; in synchronous training all of it. The result is complete on rank 0.
training::ExchangeResult exchange_gradients(Rank& rank, const exchange::mpi::Environment& environment,
                                            const training::TrainOptions& options, exchange::Control& control);

}  // namespace apam::cli
