// Chooses how gradients and weights travel between the ranks of a training, before it begins.
#pragma once

#include <optional>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/training/options.h"
#include "apam/training/run_plan.h"

namespace apam::cli {

/// Memory that all ranks share: of --exchange async, of sync, or of sync with backup ranks. None: they exchange messages.
struct RanksMemory {
  std::optional<exchange::shared::SharedRank> async;
  std::optional<exchange::shared::SharedPeer> sync;
  std::optional<exchange::shared::SharedBackup> backup;
};

/// Collective. Writes the name of the transport, its memory, and why it is messages to `plan`. Throws NotShared, the same on
/// all ranks, if options.transport is "shared" and that is not possible.
RanksMemory choose_transport(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                             training::RunPlan& plan);

}  // namespace apam::cli
