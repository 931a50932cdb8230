#include "apam/training/thread_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "kernels/runtime/host_name.h"

namespace apam::training {
namespace {

std::string counted(int count, std::string_view what) { return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"); }

/// "4 threads", or "2 to 4 threads" if the computing ranks differ.
std::string threads_text(const ThreadBudget& budget) {
  const auto first = budget.threads_by_rank.begin() + budget.roles.first_worker();
  const auto [least, most] = std::minmax_element(first, budget.threads_by_rank.end());
  if (least == budget.threads_by_rank.end() || *least == *most) return counted(budget.threads, "thread");
  return fmt::format("{} to {}", *least, counted(*most, "thread"));
}

}  // namespace

exchange::Roles roles_of(const TrainOptions& options, int ranks) {
  if (options.exchange != "async") return {.masters = 0};
  return exchange::Roles::of(ranks, options.masters, options.colocate);
}

exchange::RankCores cores_of_this_rank(const TrainOptions& options, bool computes) {
  return {host_name(), process_cores(), computes, options.machine.threads};
}

ThreadBudget make_thread_budget(const TrainOptions& options, std::span<const exchange::RankCores> ranks, int rank) {
  const int count = static_cast<int>(ranks.size());
  const exchange::RankCores& mine = ranks[static_cast<std::size_t>(rank)];
  ThreadBudget budget{.ranks = count, .roles = roles_of(options, count)};
  budget.threads_by_rank = exchange::threads_of_ranks(ranks);
  for (const auto& each : ranks) budget.hosts.push_back(each.host);
  budget.rank_on_host = static_cast<int>(std::count(budget.hosts.begin(), budget.hosts.begin() + rank, mine.host));
  int most = 1, here = 0;  // of the ranks that compute; their sum on this host
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    if (!ranks[r].computes) continue;
    most = std::max(most, budget.threads_by_rank[r]);
    if (ranks[r].host == mine.host) here += budget.threads_by_rank[r];
  }
  const int threads = budget.threads_by_rank[static_cast<std::size_t>(rank)];
  budget.threads = mine.computes ? threads : most;
  budget.master_threads = options.master_threads > 0 ? options.master_threads : mine.computes ? 1 : threads;
  budget.eval_threads = options.exchange == "local" ? budget.threads : 1;
  const int cores = mine.cores.count(), requested = mine.requested;
  budget.all_threads = requested > 0 ? std::max(requested, std::min(here, cores)) : std::max(cores, budget.eval_threads);
  if (options.eval_threads > 0) budget.eval_threads = budget.all_threads = options.eval_threads;
  return budget;
}

std::string describe(const ThreadBudget& budget, const std::string& exchange) {
  const std::string threads = threads_text(budget);
  if (exchange == "local") return fmt::format("local, {}", threads);
  if (exchange == "sync") return fmt::format("sync, {} of {}", counted(budget.ranks, "rank"), threads);
  return fmt::format("async, {} {} {} of {}", counted(budget.roles.masters, "master"),
                     budget.roles.colocated ? "in the ranks of" : "and", counted(budget.roles.workers, "worker"), threads);
}

}  // namespace apam::training
