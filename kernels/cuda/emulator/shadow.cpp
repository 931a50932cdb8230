#include "kernels/cuda/emulator/shadow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace apam::kernels::cuda::emulator {
namespace {

constexpr std::uint32_t kCell = 2;  // bytes
constexpr std::align_val_t kAlignment{1024};
constexpr int kUnwritten = 0xFF;  // NaN in every floating-point type

// In place of an access's thread:
constexpr std::uint16_t kWholeWarp = 0x8000;  // or 32 * warp: the warp has waited for it, so all of its lanes are behind it
constexpr std::uint16_t kByTma = 0xFF00;      // or the number of the copy's mbarrier
static_assert(kMostMbarriers <= 0x100);

bool is_by_tma(std::uint16_t thread) { return thread >= kByTma; }

std::size_t warp_of(int thread) { return static_cast<std::size_t>(thread % kWholeWarp) / 32; }

}  // namespace

void SharedMemory::Free::operator()(std::byte* memory) const { ::operator delete(memory, kAlignment); }

SharedMemory::SharedMemory()
    : memory_(static_cast<std::byte*>(::operator new(kMostShared, kAlignment))),
      cells_(kMostShared / kCell),
      sites_{Site::current()} {}

void SharedMemory::reset(std::uint32_t bytes, int warps, Report* report, bool check_races) {
  bytes_ = bytes;
  warps_ = warps;
  report_ = report;
  check_races_ = check_races;
  std::memset(memory_.get(), kUnwritten, bytes);
  std::fill_n(cells_.begin(), (bytes + kCell - 1) / kCell, Cell{});
  time_.fill(1);
  block_time_.fill(1);
  fences_.fill(0);
  warp_fences_.fill(0);
  block_fences_.fill(0);
  std::fill_n(loads_seen_.begin(), mbarriers_, std::array<std::uint32_t, kMostWarps * 32>{});
  mbarriers_ = 0;
}

std::byte* SharedMemory::place(SharedAddress address, std::uint32_t bytes, const Site& site, std::uint32_t alignment) {
  const auto offset = static_cast<std::int64_t>(address.at) - address.begin;
  if (address.at < address.begin || address.at + bytes > address.end || address.end > bytes_) {
    throw Stop{
        fmt::format("access at {} outside its array: byte {} of {}", name_of(site), offset, address.end - address.begin)};
  }
  if (address.at % alignment != 0) {
    throw Stop{fmt::format("access at {} is not aligned to {} bytes", name_of(site), alignment)};
  }
  return memory_.get() + address.at;
}

void SharedMemory::read(int thread, SharedAddress from, void* to, std::uint32_t bytes, const Site& site) {
  const std::byte* source = place(from, bytes, site);
  if (check_races_) note_read(thread, from.at, bytes, site);
  std::memcpy(to, source, bytes);
}

void SharedMemory::write(int thread, SharedAddress to, const void* from, std::uint32_t bytes, const Site& site) {
  std::byte* destination = place(to, bytes, site);
  if (check_races_) note_write(thread, to.at, bytes, site);
  std::memcpy(destination, from, bytes);
}

const std::byte* SharedMemory::read_row(int thread, SharedAddress row, const Site& site) {
  constexpr std::uint32_t kRow = 16;
  const std::byte* source = place(row, kRow, site);
  if (check_races_) note_read(thread, row.at, kRow, site);
  return source;
}

void SharedMemory::require_written(int thread, SharedAddress from, std::uint32_t bytes, const Site& site) {
  place(from, bytes, site);
  if (check_races_) note_read(thread, from.at, bytes, site);
}

std::uint16_t SharedMemory::begin_copy(int thread, SharedAddress to, std::uint32_t bytes, const Site& site,
                                       std::uint32_t alignment) {
  std::byte* destination = place(to, bytes, site, alignment);
  std::memset(destination, kUnwritten, bytes);
  const std::uint16_t number = number_of(site);
  if (!check_races_) return number;
  note_write(thread, to.at, bytes, site);  // earlier accesses must be ordered before it
  for (std::uint32_t at = to.at; at < to.at + bytes; at += kCell) cells_[at / kCell].copy_site = number;
  return number;
}

void SharedMemory::land_copy(int thread, SharedAddress to, const void* from, std::uint32_t bytes, std::uint32_t valid,
                             std::uint16_t site) {
  std::byte* destination = memory_.get() + to.at;
  std::memset(destination, 0, bytes);
  if (valid > 0) std::memcpy(destination, from, valid);
  land(to.at, bytes, {time_[warp_of(thread)], static_cast<std::uint16_t>(thread), site},
       fences_[static_cast<std::size_t>(thread)]);
}

void SharedMemory::land_load(std::uint32_t to, const std::byte* from, std::uint32_t bytes, std::uint16_t site, int mbarrier,
                             std::uint32_t time) {
  std::byte* const destination = memory_.get() + to;
  from == nullptr ? std::memset(destination, 0, bytes) : std::memcpy(destination, from, bytes);
  land(to, bytes, {time, static_cast<std::uint16_t>(kByTma | mbarrier), site}, 0);
  mbarriers_ = std::max(mbarriers_, mbarrier + 1);
}

void SharedMemory::land(std::uint32_t to, std::uint32_t bytes, const Access& write, std::uint32_t fences) {
  if (!check_races_) return;
  for (std::uint32_t at = to; at < to + bytes; at += kCell) {
    Cell& cell = cells_[at / kCell];
    cell.copy_site = 0;
    cell.copied = true;
    cell.write = write;
    cell.fences = fences;
  }
}

void SharedMemory::see_loads(int thread, int mbarrier, std::uint32_t time) {
  auto& seen = loads_seen_[static_cast<std::size_t>(mbarrier)][static_cast<std::size_t>(thread)];
  seen = std::max(seen, time);
}

void SharedMemory::pass_block_barrier() {
  for (auto& time : time_) ++time;
  block_time_ = time_;
  warp_fences_ = block_fences_ = fences_;
  for (int i = 0; i < mbarriers_; ++i) {
    auto& seen = loads_seen_[static_cast<std::size_t>(i)];
    seen.fill(*std::max_element(seen.begin(), seen.end()));
  }
}

void SharedMemory::pass_warp_barrier(int warp) {
  ++time_[static_cast<std::size_t>(warp)];
  const auto first = static_cast<std::size_t>(warp) * 32;
  std::copy_n(fences_.begin() + first, 32, warp_fences_.begin() + first);
  for (int i = 0; i < mbarriers_; ++i) {
    const auto seen = loads_seen_[static_cast<std::size_t>(i)].begin() + first;
    std::fill_n(seen, 32, *std::max_element(seen, seen + 32));
  }
}

bool SharedMemory::ordered(int thread, const Access& earlier) const {
  if (is_by_tma(earlier.thread)) {
    return earlier.time <= loads_seen_[earlier.thread - kByTma][static_cast<std::size_t>(thread % kWholeWarp)];
  }
  if (earlier.thread == thread) return true;
  if (earlier.thread >= kWholeWarp && warp_of(earlier.thread) == warp_of(thread)) return true;
  const std::size_t theirs = warp_of(earlier.thread);
  return earlier.time < (theirs == warp_of(thread) ? time_ : block_time_)[theirs];
}

bool SharedMemory::ordered_for_warp(int thread, const Access& earlier) const {
  if (!is_by_tma(earlier.thread)) return ordered(thread, earlier);
  const auto first = loads_seen_[earlier.thread - kByTma].begin() + thread / 32 * 32;
  return earlier.time <= *std::min_element(first, first + 32);
}

void SharedMemory::note_read(int thread, std::uint32_t at, std::uint32_t bytes, const Site& site) {
  const Access now{time_[warp_of(thread)], static_cast<std::uint16_t>(thread), number_of(site)};
  for (std::uint32_t byte = at; byte < at + bytes; byte += kCell) {
    Cell& cell = cells_[byte / kCell];
    if (cell.copy_site != 0) return report_in_flight("read", site, cell.copy_site);
    if (cell.write.time == 0) return find(fmt::format("read at {} of shared memory that was never written", name_of(site)));
    if (!ordered(thread, cell.write)) return report_race(thread, "read", site, cell.write);
    if (cell.reads[0].time != 0 && !ordered(thread, cell.reads[0])) cell.reads[1] = cell.reads[0];
    cell.reads[0] = now;
  }
}

void SharedMemory::note_write(int thread, std::uint32_t at, std::uint32_t bytes, const Site& site) {
  const Access now{time_[warp_of(thread)], static_cast<std::uint16_t>(thread), number_of(site)};
  for (std::uint32_t byte = at; byte < at + bytes; byte += kCell) {
    Cell& cell = cells_[byte / kCell];
    if (cell.copy_site != 0) return report_in_flight("write", site, cell.copy_site);
    if (cell.products > 0) {
      return find(fmt::format("write at {} of memory that the wgmma issued at {} still reads: a wait is missing", name_of(site),
                              name_of(sites_[cell.product_site])));
    }
    for (const Access& earlier : {cell.write, cell.reads[0], cell.reads[1]}) {
      if (earlier.time != 0 && !ordered(thread, earlier)) return report_race(thread, "write", site, earlier);
    }
    cell.write = now;
    cell.copied = false;
    cell.fences = fences_[static_cast<std::size_t>(thread)];
    cell.reads = {};
  }
}

bool SharedMemory::fenced(int thread, const Cell& cell) const {
  const std::size_t writer = cell.write.thread;
  if (cell.write.thread == thread) return fences_[writer] > cell.fences;
  return (warp_of(cell.write.thread) == warp_of(thread) ? warp_fences_ : block_fences_)[writer] > cell.fences;
}

std::uint16_t SharedMemory::begin_product(int thread, std::uint32_t at, std::uint32_t bytes, const Site& site) {
  place({at, 0, bytes_}, bytes, site);
  const std::uint16_t number = number_of(site);
  if (!check_races_) return number;
  for (std::uint32_t byte = at; byte < at + bytes; byte += kCell) {
    Cell& cell = cells_[byte / kCell];
    ++cell.products;
    cell.product_site = number;
  }
  for (std::uint32_t byte = at; byte < at + bytes; byte += kCell) {
    const Cell& cell = cells_[byte / kCell];
    if (cell.copy_site != 0) {
      report_in_flight("read", site, cell.copy_site);
    } else if (cell.write.time == 0) {
      find(fmt::format("read at {} of shared memory that was never written", name_of(site)));
    } else if (!ordered_for_warp(thread, cell.write)) {
      report_race(thread, "read", site, cell.write);
    } else if (!cell.copied && !fenced(thread, cell)) {
      find(fmt::format("wgmma at {} reads what was written at {}: no fence_async_proxy between it and the barrier",
                       name_of(site), name_of(sites_[cell.write.site])));
    } else {
      continue;
    }
    break;
  }
  return number;
}

void SharedMemory::end_product(int warp, std::uint32_t at, std::uint32_t bytes, std::uint16_t site) {
  if (!check_races_) return;
  const int reader = kWholeWarp | 32 * warp;
  const Access now{time_[static_cast<std::size_t>(warp)], static_cast<std::uint16_t>(reader), site};
  for (std::uint32_t byte = at; byte < at + bytes; byte += kCell) {
    Cell& cell = cells_[byte / kCell];
    if (cell.products > 0) --cell.products;
    if (cell.reads[0].time != 0 && !ordered(reader, cell.reads[0])) cell.reads[1] = cell.reads[0];
    cell.reads[0] = now;
  }
}

void SharedMemory::report_race(int thread, const char* kind, const Site& site, const Access& other) {
  find(fmt::format("race: {} at {} and access at {}{}: no barrier between them", kind, name_of(site),
                   name_of(sites_[other.site]), warp_of(thread) == warp_of(other.thread) ? " by the same warp" : ""));
}

void SharedMemory::report_in_flight(const char* kind, const Site& site, std::uint16_t copy_site) {
  find(fmt::format("{} at {} of memory that the copy issued at {} has not filled: a wait is missing", kind, name_of(site),
                   name_of(sites_[copy_site])));
}

std::uint16_t SharedMemory::number_of(const Site& site) {
  const auto same = [&](const Site& other) { return other.line() == site.line() && other.file_name() == site.file_name(); };
  std::uint16_t& recent = recent_[static_cast<std::size_t>(site.line()) % recent_.size()];
  if (same(sites_[recent])) return recent;
  const auto index = static_cast<std::size_t>(std::find_if(sites_.begin(), sites_.end(), same) - sites_.begin());
  if (index == sites_.size()) sites_.push_back(site);
  recent = static_cast<std::uint16_t>(index);
  return recent;
}

}  // namespace apam::kernels::cuda::emulator
