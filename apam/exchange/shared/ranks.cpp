#include "apam/exchange/shared/ranks.h"

#include <array>
#include <charconv>
#include <optional>

#include "kernels/runtime/host_name.h"

namespace apam::exchange::shared {
namespace {

/// A step of the set-up that may fail on any rank: gathers what it returns, or throws the first failure on all ranks.
template <class Step>
std::vector<std::string> gather_results(const GatherTexts& gather, Step&& step) {
  std::string mine;
  try {
    mine = fmt::format("+{}", step());
  } catch (const Error& error) {
    mine = fmt::format("-{}", error.what());
  }
  std::vector<std::string> all = gather(mine);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const bool failed = all[rank].empty() || all[rank].front() != '+';
    if (failed) fail<NotShared>("rank {}: {}", rank, all[rank].empty() ? "" : all[rank].substr(1));
    all[rank].erase(0, 1);
  }
  return all;
}

std::int64_t process_from(const std::string& text) {
  std::int64_t process = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), process);
  require<ExchangeError>(error == std::errc{} && end == text.data() + text.size() && process > 0,
                         "shared memory: '{}' is no number of a process", text);
  return process;
}

}  // namespace

SharedRank share_memory(int rank, const SegmentLayout& layout, const GatherTexts& gather) {
  constexpr std::string_view kName = "apam exchange";
  const std::vector<std::string> hosts = gather(host_name());
  require<InputError>(hosts.size() == static_cast<std::size_t>(layout.workers) + 1,
                      "shared memory: {} ranks for a master and {} workers", hosts.size(), layout.workers);
  for (std::size_t r = 1; r < hosts.size(); ++r) {
    require<NotShared>(hosts[r] == hosts[0], "rank {}: is on host {}, rank 0 is on {}", r, hosts[r], hosts[0]);
  }
  const bool master = rank == 0;
  SharedMemory memory;
  const auto addresses = gather_results(gather, [&]() -> std::string {
    if (!master) return {};
    memory = SharedMemory::create(kName, layout.bytes());
    Segment::create({memory.data(), memory.size_bytes()}, layout);
    return memory.address();
  });
  const auto processes = gather_results(gather, [&] {
    if (!master) {
      memory = SharedMemory::attach(kName, addresses[0]);
      memory.make_read_only(layout.versions_offset(), layout.versions_bytes());
    }
    return fmt::format("{}", ProcessWatch::this_process());
  });
  std::vector<std::int64_t> others;
  std::optional<ProcessWatch> watch;
  std::optional<Segment> segment;
  gather_results(gather, [&]() -> std::string {
    for (std::size_t r = 0; r < processes.size(); ++r) {
      if ((r == 0) != master) others.push_back(process_from(processes[r]));
    }
    watch.emplace(others);
    segment = Segment::open({memory.data(), memory.size_bytes()}, layout);
    return {};
  });
  if (master) memory.withdraw();
  return {std::move(memory), *segment, *std::move(watch)};
}

}  // namespace apam::exchange::shared
