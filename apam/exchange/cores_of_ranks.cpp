#include "apam/exchange/cores_of_ranks.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <system_error>

#include "kernels/runtime/error.h"

namespace apam::exchange {
namespace {

/// The ranks of one host.
struct Host {
  std::vector<std::size_t> computing, others;
  std::map<int, int> sharers;  // CPU -> computing ranks that may run on it
  std::optional<double> quota;
};

std::map<std::string, Host> hosts_of(std::span<const RankCores> ranks) {
  std::map<std::string, Host> hosts;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const auto& [cpus, quota, limit] = ranks[r].cores;
    Host& host = hosts[ranks[r].host];
    (ranks[r].computes ? host.computing : host.others).push_back(r);
    if (quota && (!host.quota || *quota < *host.quota)) host.quota = quota;
    if (!ranks[r].computes) continue;
    for (const int cpu : cpus.cpus()) ++host.sharers[cpu];
  }
  return hosts;
}

/// Whole threads of a sum of fractions, corrected for rounding.
int whole(double threads) {
  constexpr double kRounding = 1e-6;
  return std::max(1, static_cast<int>(threads + kRounding));
}

void divide(std::span<const RankCores> ranks, const Host& host, std::vector<int>& threads) {
  int sum = 0;
  for (const std::size_t r : host.computing) {
    double share = 0;
    for (const int cpu : ranks[r].cores.cpus.cpus()) share += 1.0 / host.sharers.at(cpu);
    threads[r] = std::min(whole(share), std::max(1, ranks[r].cores.limit));
    sum += threads[r];
  }
  if (!host.quota || std::ceil(*host.quota) >= sum) return;
  for (const std::size_t r : host.computing) threads[r] = whole(threads[r] * std::ceil(*host.quota) / sum);
}

/// The cores that computing ranks leave to rank `other`, if their threads are spread evenly over their masks, divided among all
/// that do not compute.
int left_for(std::span<const RankCores> ranks, const Host& host, std::size_t other, const std::vector<int>& threads) {
  const CpuSet& mask = ranks[other].cores.cpus;
  double left = mask.count(), sum = 0;
  for (const std::size_t r : host.computing) {
    const CpuSet& theirs = ranks[r].cores.cpus;
    sum += threads[r];
    if (!theirs.empty()) left -= static_cast<double>(threads[r]) * (theirs & mask).count() / theirs.count();
  }
  if (host.quota) left = std::min(left, std::ceil(*host.quota) - sum);
  return std::min(whole(left / static_cast<double>(host.others.size())), std::max(1, ranks[other].cores.limit));
}

}  // namespace

std::vector<int> threads_of_ranks(std::span<const RankCores> ranks) {
  std::vector<int> threads(ranks.size(), 1);
  for (const auto& [name, host] : hosts_of(ranks)) {
    divide(ranks, host, threads);
    for (const std::size_t r : host.computing) {
      if (ranks[r].requested > 0) threads[r] = ranks[r].requested;
    }
    for (const std::size_t r : host.others) threads[r] = left_for(ranks, host, r, threads);
  }
  return threads;
}

// "w|0-3,8|2.5|16|0|host": computes (w) or not (-), CPUs, quota or nothing, thread limit, threads requested, and the host,
// which may have any name.
std::string RankCores::to_text() const {
  const std::string quota = cores.quota ? fmt::format("{}", *cores.quota) : "";
  return fmt::format("{}|{}|{}|{}|{}|{}", computes ? 'w' : '-', cores.cpus.to_text(), quota, cores.limit, requested, host);
}

RankCores RankCores::from_text(std::string_view text) {
  const std::string_view all = text;
  const auto field = [&] {
    const auto end = text.find('|');
    require<InputError>(end != std::string_view::npos, "cores of a rank: '{}' has too few fields, expected 6", all);
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end + 1);
    return word;
  };
  RankCores rank;
  const std::string_view computes = field();
  require<InputError>(computes == "w" || computes == "-", "cores of a rank: '{}' begins with '{}', expected w or -", all,
                      computes);
  rank.computes = computes == "w";
  rank.cores.cpus = CpuSet::parse(field());
  if (const std::string_view quota = field(); !quota.empty()) {
    double value = 0;
    const auto [end, error] = std::from_chars(quota.data(), quota.data() + quota.size(), value);
    require<InputError>(error == std::errc{} && end == quota.data() + quota.size() && value > 0,
                        "cores of a rank: '{}' has quota '{}', expected a number above 0", all, quota);
    rank.cores.quota = value;
  }
  const auto number = [&](std::string_view what, int least) {
    const std::string_view word = field();
    int value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    require<InputError>(error == std::errc{} && end == word.data() + word.size() && value >= least,
                        "cores of a rank: '{}' has {} '{}', expected a whole number from {} on", all, what, word, least);
    return value;
  };
  rank.cores.limit = number("limit", 1);
  rank.requested = number("threads", 0);
  rank.host = text;
  return rank;
}

}  // namespace apam::exchange
