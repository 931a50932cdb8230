#include "kernels/cuda/emulator/block_loads.h"

#include <fmt/format.h>

#include <utility>

#include "kernels/cuda/emulator/sanitizer.h"

namespace apam::kernels::cuda::emulator {
namespace {

constexpr std::uint32_t kChunkBytes = 16, kLineChunks = 8, kBarrierBytes = 8;

}  // namespace

void BlockLoads::reset() {
  barriers_.clear();
  loads_.clear();
}

BlockLoads::Barrier& BlockLoads::at(SharedAddress barrier, const Site& site) {
  const auto found = barriers_.find(barrier.at);
  if (found == barriers_.end()) throw Stop{fmt::format("the mbarrier at {} was not initialised", name_of(site))};
  return found->second;
}

void BlockLoads::init(SharedMemory& memory, int thread, SharedAddress barrier, int arrivals, const Site& site) {
  const std::uint64_t words = 0;
  memory.write(thread, barrier, &words, kBarrierBytes, site);
  const auto known = barriers_.find(barrier.at);
  const auto number = static_cast<int>(known == barriers_.end() ? barriers_.size() : known->second.number);
  if (number >= kMostMbarriers) throw Stop{fmt::format("more than {} mbarriers at {}", kMostMbarriers, name_of(site))};
  barriers_[barrier.at] = {.arrivals = arrivals, .left = arrivals, .number = number, .thread = thread};
}

void BlockLoads::fence(int thread) {
  for (auto& [address, barrier] : barriers_) barrier.fenced = barrier.fenced || barrier.thread == thread;
}

void BlockLoads::complete(Barrier& barrier) {
  if (barrier.left > 0 || barrier.bytes != 0) return;
  ++barrier.phase;
  barrier.left = barrier.arrivals;
  barrier.seen = barrier.copied;
}

void BlockLoads::arrive(SharedMemory& memory, int thread, SharedAddress barrier, int bytes, const Site& site) {
  memory.require_written(thread, barrier, kBarrierBytes, site);
  Barrier& of = at(barrier, site);
  if (of.left == 0) throw Stop{fmt::format("more arrivals at {} than the mbarrier has in a phase", name_of(site))};
  --of.left;
  of.bytes += bytes;
  complete(of);
}

bool BlockLoads::passes(SharedMemory& memory, int thread, SharedAddress barrier, int parity, const Site& site) {
  memory.require_written(thread, barrier, kBarrierBytes, site);
  const Barrier& of = at(barrier, site);
  if (of.phase % 2 == parity) return false;
  memory.see_loads(thread, of.number, of.seen);
  return true;
}

void BlockLoads::issue(SharedMemory& memory, int thread, SharedAddress to, Chunks chunks, SharedAddress barrier,
                       const Site& site) {
  memory.require_written(thread, barrier, kBarrierBytes, site);
  if (!at(barrier, site).fenced) {
    memory.find(fmt::format("the load at {} uses an mbarrier without fence_mbarrier_init()", name_of(site)));
  }
  for (const std::byte* chunk : chunks) {
    if (chunk == nullptr || sanitizer::readable(chunk, kChunkBytes)) continue;
    throw Stop{fmt::format("the load at {} reads memory outside any array", name_of(site))};
  }
  const auto bytes = static_cast<std::uint32_t>(chunks.size()) * kChunkBytes;
  const std::uint16_t number = memory.begin_copy(thread, to, bytes, site, kBoxAlignment);
  ++issued_;
  loads_.push_back({to.at, barrier.at, std::move(chunks), number});
}

void BlockLoads::land(SharedMemory& memory, std::size_t index) {
  const auto place = loads_.begin() + static_cast<std::ptrdiff_t>(index);
  const Load load = std::move(*place);
  loads_.erase(place);
  Barrier& barrier = barriers_.at(load.barrier);
  ++barrier.copied;
  for (std::size_t i = 0; i < load.chunks.size(); ++i) {
    const auto line = static_cast<std::uint32_t>(i) / kLineChunks, chunk = static_cast<std::uint32_t>(i) % kLineChunks;
    memory.land_load(load.to + (line * kLineChunks + (chunk ^ line % 8)) * kChunkBytes, load.chunks[i], kChunkBytes, load.site,
                     barrier.number, barrier.copied);
  }
  barrier.bytes -= static_cast<std::int64_t>(load.chunks.size()) * kChunkBytes;
  if (barrier.left == 0 && barrier.bytes < 0) memory.find("more bytes arrived at an mbarrier than were announced");
  complete(barrier);
}

}  // namespace apam::kernels::cuda::emulator
