// How the processes of a run share the cores.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "apam/exchange/cores_of_ranks.h"
#include "apam/exchange/roles.h"
#include "apam/training/options.h"

namespace apam::training {

struct ThreadBudget {
  int ranks = 1;                        ///< processes
  exchange::Roles roles{.masters = 0};  ///< of asynchronous training; otherwise no master and one gradient in flight at a time
  int threads = 1;                      ///< of this rank if it computes gradients; otherwise the maximum over the ranks that do
  int master_threads = 1;               ///< for updates, on a master of asynchronous training
  int eval_threads = 1;                 ///< for evaluation during training
  int all_threads = 1;                  ///< once no other rank computes
  std::vector<int> threads_by_rank{1};
  std::vector<std::string> hosts{};  ///< by rank
  int rank_on_host = 0;              ///< of this rank
};

/// The roles of `ranks` ranks that train as the options say.
exchange::Roles roles_of(const TrainOptions& options, int ranks);

/// The cores of this process and the threads requested, for the other ranks (apam/exchange/cores_of_ranks.h).
exchange::RankCores cores_of_this_rank(const TrainOptions& options, bool computes);

/// The budget as rank `rank` of `ranks` sees it.
ThreadBudget make_thread_budget(const TrainOptions& options, std::span<const exchange::RankCores> ranks, int rank);

/// "local, 4 threads", "async, 1 master and 3 workers of 2 to 4 threads", "async, 2 masters in the ranks of 2 workers of 1
/// thread".
std::string describe(const ThreadBudget& budget, const std::string& exchange);

}  // namespace apam::training
