#include "apam/exchange/shared/ranks.h"

#include <array>
#include <charconv>
#include <optional>

#include "apam/exchange/roles.h"
#include "kernels/runtime/host_name.h"
#include "kernels/runtime/pages.h"

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

/// Memory, a view of it as View (segment.h, all_reduce.h), and the processes of all ranks.
template <class View>
struct Shared {
  SharedMemory memory;
  std::optional<View> view;
  std::vector<std::int64_t> processes;
};

template <class View, class Layout>
Shared<View> share(int rank, int ranks, const Layout& layout, const GatherTexts& gather) {
  constexpr std::string_view kName = "apam exchange";
  const std::vector<std::string> hosts = gather(host_name());
  require<InputError>(hosts.size() == static_cast<std::size_t>(ranks), "shared memory: {} ranks, expected {}", hosts.size(),
                      ranks);
  for (std::size_t r = 1; r < hosts.size(); ++r) {
    require<NotShared>(hosts[r] == hosts[0], "rank {}: is on host {}, rank 0 is on {}", r, hosts[r], hosts[0]);
  }
  Shared<View> shared;
  SharedMemory& memory = shared.memory;
  const auto all = [&] { return std::span(memory.data(), memory.size_bytes()); };
  const auto addresses = gather_results(gather, [&]() -> std::string {
    if (rank != 0) return {};
    memory = SharedMemory::create(kName, layout.bytes());
    shared.view = View::create(all(), layout);
    return memory.address();
  });
  const auto processes = gather_results(gather, [&] {
    if (rank != 0) {
      memory = SharedMemory::attach(kName, addresses[0]);
      shared.view = View::open(all(), layout);
    }
    return fmt::format("{}", ProcessWatch::this_process());
  });
  for (const std::string& text : processes) shared.processes.push_back(process_from(text));
  return shared;
}

/// The last step, with `finish` on every rank: after it all ranks have attached and watch each other.
template <class Finish>
ProcessWatch watch(SharedMemory& memory, std::span<const std::int64_t> processes, const GatherTexts& gather, Finish&& finish) {
  std::optional<ProcessWatch> others;
  gather_results(gather, [&]() -> std::string {
    others.emplace(processes);
    finish();
    return {};
  });
  memory.withdraw();
  return *std::move(others);
}

/// CUDA exports whole blocks of this size: smaller ones could have neighbours.
constexpr std::size_t kExported = kHugePage;

/// What rank `rank` writes to both ends of its memory.
std::vector<float> mark_of(int rank) { return std::vector<float>(16, static_cast<float>(rank) + 0.5F); }

void mark(Span<float> memory, int rank) {
  const std::vector<float> mine = mark_of(rank);
  copy(ConstSpan<float>(std::span(mine)), memory.subspan(0, mine.size()));
  copy(ConstSpan<float>(std::span(mine)), memory.subspan(memory.size() - mine.size(), mine.size()));
}

void require_mark(ConstSpan<float> memory, int rank) {
  const std::vector<float> expected = mark_of(rank);
  std::vector<float> seen(expected.size());
  for (const std::size_t offset : {std::size_t{0}, memory.size() - seen.size()}) {
    copy(memory.subspan(offset, seen.size()), Span<float>(std::span(seen)));
    require<ExchangeError>(seen == expected, "memory of the GPU of rank {} has {} at float {}, expected {}", rank, seen[0],
                           offset, expected[0]);
  }
}

}  // namespace

SharedRank share_memory(int rank, const SegmentLayout& layout, bool colocated, const GatherTexts& gather) {
  const Roles roles{.masters = layout.masters, .workers = layout.workers, .colocated = colocated};
  auto [memory, segment, processes] = share<Segment>(rank, roles.ranks(), layout, gather);
  const std::span<const std::int64_t> all = processes;
  const auto masters = static_cast<std::size_t>(roles.masters), first_worker = static_cast<std::size_t>(roles.first_worker());
  std::optional<ProcessWatch> followers;
  ProcessWatch others = watch(memory, rank == 0 ? all.subspan(first_worker) : all.first(1), gather, [&, &memory = memory] {
    followers.emplace(rank == 0 ? all.subspan(1, masters - 1) : all.first(0));
    if (!roles.is_master(rank)) memory.make_read_only(layout.versions_offset(), layout.versions_bytes());
  });
  return {std::move(memory), *segment, std::move(others), *std::move(followers)};
}

SharedRank share_memory_of_gpus(int rank, const SegmentLayout& layout, Device device, const GatherTexts& gather) {
  SharedRank shared = share_memory(rank, layout, false, gather);
  const std::size_t versions = layout.history.bytes(), contribution = layout.history.state() * sizeof(float);
  const bool is_master = rank == 0;
  const std::size_t own = is_master ? versions : contribution, others = is_master ? contribution : versions;
  const std::vector<std::string> names = gather_results(gather, [&] {
    shared.written = Buffer(device, round_up(own, kExported));
    mark(shared.written.as<float>(), rank);
    return export_memory(shared.written);
  });
  try {
    gather_results(gather, [&]() -> std::string {
      const std::size_t first = is_master ? 1 : 0, end = is_master ? names.size() : 1;
      for (std::size_t other = first; other < end; ++other) {
        shared.mapped.emplace_back(device, names[other], round_up(others, kExported));
        require_mark(shared.mapped.back().as<float>(), static_cast<int>(other));
      }
      return {};
    });
  } catch (const NotShared&) {
    shared.mapped.clear();
    gather({});  // before any rank releases its memory
    throw;
  }
  GpuValues values;
  values.contributions.resize(static_cast<std::size_t>(layout.workers));
  const Span<float> written = shared.written.as<float>().subspan(0, own / sizeof(float));
  const auto seen = [&](std::size_t i) { return shared.mapped[i].as<float>().subspan(0, others / sizeof(float)); };
  if (is_master) {
    values.versions = written;
    for (std::size_t worker = 0; worker < shared.mapped.size(); ++worker) values.contributions[worker] = seen(worker);
  } else {
    values.versions = seen(0);
    values.contributions[static_cast<std::size_t>(rank - 1)] = written;
  }
  shared.segment.use(std::move(values));
  return shared;
}

SharedPeer share_memory(int rank, const GroupLayout& layout, const GatherTexts& gather) {
  auto [memory, group, processes] = share<Group>(rank, layout.ranks, layout, gather);
  processes.erase(processes.begin() + rank);
  ProcessWatch others = watch(memory, processes, gather, [] {});
  return {std::move(memory), *group, std::move(others)};
}

SharedBackup share_memory(int rank, const BackupLayout& layout, const GatherTexts& gather) {
  auto [memory, group, processes] = share<BackupGroup>(rank, layout.ranks, layout, gather);
  processes.erase(processes.begin() + rank);
  ProcessWatch others = watch(memory, processes, gather, [] {});
  return {std::move(memory), *group, std::move(others)};
}

}  // namespace apam::exchange::shared
