// Chooses how gradients and weights travel between the ranks of asynchronous training, before training begins.
#pragma once

#include <optional>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/training/options.h"
#include "apam/training/run_plan.h"

namespace apam::cli {

/// Collective. Memory that all ranks share; nothing: by messages, with the reason in `plan`, which gets the name and the size
/// too. Throws NotShared, the same on all ranks, if options.transport is "shared" and that is not possible.
std::optional<exchange::shared::SharedRank> choose_transport(const exchange::mpi::Environment& environment,
                                                             const training::TrainOptions& options, training::RunPlan& plan);

}  // namespace apam::cli
