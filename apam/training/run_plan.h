// What a training will do, settled before it begins: every mistake that can be found is found here.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "apam/training/options.h"
#include "apam/exchange/cores_of_ranks.h"
#include "apam/exchange/observer.h"
#include "apam/training/run_folder.h"
#include "data/batches.h"
#include "engine/optim/optimizer.h"
#include "kernels/runtime/exec.h"
#include "nets/net.h"

namespace apam::training {

/// How the processes of a run share the machine.
struct Crew {
  int ranks = 1;           ///< processes
  int workers = 1;         ///< gradients that may be under way at once: async: ranks - 1; otherwise 1
  int threads = 1;         ///< of this rank, if it computes gradients; otherwise the most of those that do
  int master_threads = 1;  ///< for updates, on the master of an asynchronous training
  int eval_threads = 1;    ///< beside the training
  int all_threads = 1;     ///< when no other rank computes any longer
  std::vector<int> threads_by_rank{1};
  std::vector<std::string> hosts{};  ///< by rank
};

struct Plan {
  Crew crew;
  std::shared_ptr<const data::Batches> train, test;
  std::unique_ptr<nets::Net> net;
  engine::OptimizerOptions optimizer;
  exchange::Schedule schedule;
  ExecOptions exec;                   ///< with crew.threads
  std::vector<std::string> warnings;  ///< about the data, one line each
};

/// What this process tells the others, so that they divide the cores (apam/exchange/cores_of_ranks.h).
exchange::RankCores cores_of_this_rank(bool computes);

/// The crew as rank `rank` of `ranks` sees it.
Crew make_crew(const TrainOptions& options, std::span<const exchange::RankCores> ranks, int rank);

/// Throws UsageError for options that contradict each other or the data, InputError for bad files.
Plan make_plan(const TrainOptions& options, const Crew& crew);

/// The folder that the user has named, else runs/NET-DATA-EXCHANGE-TIME; and what to do when it is there.
std::string output_folder(const TrainOptions& options);
Existing existing_folder(const TrainOptions& options);

/// The model's first weights: from the seed, or from a file. Returns how many batches are behind its statistics.
/// Throws InputError for a file that does not fit the model or, unless the run is to keep going, is not finite.
std::int64_t first_weights(const TrainOptions& options, Exec& exec, const engine::ParameterArena& arena);

}  // namespace apam::training
