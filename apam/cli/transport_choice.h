// Chooses how gradients and weights travel between the ranks of a training, before it begins.
#pragma once

#include <memory>
#include <optional>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/shared/ranks.h"
#include "apam/training/options.h"
#include "apam/training/run_plan.h"
#include "kernels/nccl/gpu_group.h"

namespace apam::cli {

/// What all ranks share: memory, of --exchange async, of sync, or of sync with backup ranks; or, of sync, a group of GPUs.
/// None: they exchange messages.
struct SharedByRanks {
  std::optional<exchange::shared::SharedRank> async;
  std::optional<exchange::shared::SharedPeer> sync;
  std::optional<exchange::shared::SharedBackup> backup;
  std::unique_ptr<kernels::nccl::GpuGroup> gpus;
};

/// A transport that was asked for is not possible. The text is the same on all ranks.
class NoTransport : public exchange::ExchangeError {
 public:
  using ExchangeError::ExchangeError;
};

/// Collective. Writes the name of the transport, its memory, and why it is messages to `plan`. Throws NoTransport on all ranks
/// if options.transport is "shared" or "nccl" and that is not possible, and DeviceError if NCCL fails.
SharedByRanks choose_transport(const exchange::mpi::Environment& environment, const training::TrainOptions& options,
                               training::RunPlan& plan);

}  // namespace apam::cli
