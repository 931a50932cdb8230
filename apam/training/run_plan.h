// What a run will do, fixed before it begins. Every error that can be found in advance is found here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apam/exchange/epochs.h"
#include "apam/exchange/mpi/first_arrivals.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/policies/policy.h"
#include "apam/exchange/shards/range.h"
#include "apam/exchange/weight_history.h"
#include "apam/training/calibration.h"
#include "apam/training/factories.h"
#include "apam/training/machine.h"
#include "apam/training/options.h"
#include "apam/training/run_folder.h"
#include "apam/training/thread_budget.h"
#include "data/batches.h"
#include "engine/optim/optimizer.h"
#include "kernels/runtime/exec.h"
#include "nets/net.h"

namespace apam::training {

/// What a run begins with.
struct InitialWeights {
  std::int64_t batches_tracked = 0;   ///< batches that the running statistics average
  std::optional<std::string> sha256;  ///< of the state in the file of --init (nets::StateDigests); nothing: no file
};

struct RunPlan {
  ThreadBudget budget;
  std::shared_ptr<const data::Batches> train, evaluation;
  std::shared_ptr<const data::Batches> calibration;  ///< of batch norm, before evaluations; null: none
  std::int64_t calibration_batches = 0;
  data::SplitHashes train_hashes, test_hashes;  ///< of the images
  std::unique_ptr<nets::Net> net;
  engine::OptimizerOptions optimizer;
  exchange::Schedule schedule;
  exchange::HistoryLayout history;                          ///< versions of the state that the process with the master holds
  std::vector<exchange::ShardRange> shards;                 ///< of the state, by master; empty: no master
  int versions_per_worker = 1;                              ///< of the history, in asynchronous training
  bool delayed = false;                                     ///< artificial delay
  std::shared_ptr<const exchange::StalenessPolicy> policy;  ///< of asynchronous training; null: none
  std::int64_t batches = 0;                                 ///< mini-batches of the run
  std::int64_t gradients_per_update = 0;                    ///< with backup ranks; 0: none
  exchange::Epochs epochs;
  std::string transport;              ///< between ranks: "shared memory", "mpi (host buffers)"
  std::string no_shared_memory;       ///< why --transport auto chose messages
  bool device_buffers = false;        ///< messages of ranks on GPUs are in memory of the GPU
  std::string no_device_buffers;      ///< why not, if ranks on GPUs exchange messages asynchronously
  std::size_t shared_bytes = 0;       ///< memory of the transport "shared memory"
  ExecOptions exec;                   ///< with budget.threads
  std::vector<Machine> machines;      ///< by rank; make_run_plan() knows this process only
  std::vector<std::string> warnings;  ///< about the data, one line each
  InitialWeights initial;             ///< where the result is; of a run that is continued, those of its first part

  EvaluationImages evaluation_images() const { return {evaluation, calibration, calibration_batches}; }

  /// Memory of the versions; 0: none, the state is updated in place.
  std::size_t history_bytes() const { return history.slots == 1 ? 0 : history.bytes(); }

  /// Of messages between synchronous ranks with backup.
  exchange::mpi::BackupSizes backup_sizes() const {
    return {static_cast<int>(gradients_per_update), history.state(), history.weights};
  }

  /// Memory that --prefetch-weights adds to each worker: a second version of the weights, and a second contribution.
  std::size_t prefetch_bytes() const { return 2 * history.state() * sizeof(float); }
};

/// Throws UsageError for options that contradict each other or the data, InputError for bad files, DeviceError for versions
/// of --max-delay that need more memory than is available. `observer` watches the packing of a data set on its first use, and
/// may end it by throwing.
RunPlan make_run_plan(const TrainOptions& options, const ThreadBudget& budget, const PackObserver& observer = {});

/// --out, or else runs/NET-DATA-EXCHANGE-TIME.
std::string output_folder(const TrainOptions& options);
Existing existing_folder(const TrainOptions& options);

/// Initial weights, from the seed or from a file. Throws InputError for a file that does not fit the model or, without
/// --keep-going, is not finite.
InitialWeights load_initial_weights(const TrainOptions& options, Exec& exec, const engine::ParameterArena& arena);

}  // namespace apam::training
