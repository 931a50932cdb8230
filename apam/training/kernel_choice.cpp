#include "apam/training/kernel_choice.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace apam::training {

std::string KernelWork::describe() const {
  return fmt::format("{} | {} threads | {} | {} | {}", to_string(exec.device()), exec.threads(), exec.selection().text(),
                     updater != nullptr
                         ? fmt::format("updates of {} and {} floats by {}", updater->arena().layout().weights_size(),
                                       updater->arena().layout().statistics_size(), contributions)
                         : "no updates",
                     fmt::join(rows, " "));
}

std::set<std::int64_t> batch_sizes(const data::Batches& batches, std::int64_t part, std::int64_t parts) {
  // Only the last batch of an epoch may be short.
  return {batches.share(0, part, parts).count(), batches.share(batches.per_epoch() - 1, part, parts).count()};
}

void choose_kernels(const KernelWork& work, const std::function<void()>& before_each) {
  work.exec.tell_requests([&](const KernelRequest&) { before_each(); });
  if (work.updater != nullptr) work.updater->choose_kernels(work.contributions);
  if (work.source != nullptr) {
    for (const std::int64_t rows : work.rows) work.source->choose_kernels(rows);
  }
  work.exec.tell_requests({});
}

std::vector<int> turns_of_ranks(std::span<const RankWork> ranks) {
  std::map<std::string, int> turns_of_host;
  std::set<std::pair<std::string, std::string>> seen;
  std::vector<int> turns;
  int last = 0;
  for (const RankWork& rank : ranks) {
    const bool first = seen.emplace(rank.host, rank.work).second;
    turns.push_back(first ? turns_of_host[rank.host]++ : -1);
    last = std::max(last, turns_of_host[rank.host]);
  }
  std::replace(turns.begin(), turns.end(), -1, last);
  return turns;
}

}  // namespace apam::training
