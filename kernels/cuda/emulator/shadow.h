// The shared memory of a block, and a shadow that remembers, for every two bytes, the accesses to them. Two accesses by
// different threads, at least one of them a write, must be ordered by a barrier; else they are a race, even if the schedule
// happened to run them in the right order. Memory starts as NaN.
//
// Order is known per warp. The time of a warp is the number of barriers that it has passed, of the block or of the warp itself.
// An access at time t of warp v is ordered before what a thread of warp w does now if
//   v = w: the warp has passed a barrier since, so t < time[w]                 (or it is the same thread)
//   v != w: v has passed a barrier of the block since, so t < block_time[v]
//
// A copy by TMA is ordered before what a thread does once the thread has waited for its mbarrier, or has passed a barrier after
// one that has. Arrivals at an mbarrier order nothing here.
//
// A wgmma reads its operands from when it is issued until its warp has waited for it, by the asynchronous proxy: a store is
// visible to it only if its thread has called fence_async_proxy() between the store and the barrier that orders them; a copy
// that has landed is visible after the barrier.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/emulator/report.h"

namespace apam::kernels::cuda::emulator {

inline constexpr std::uint32_t kMostShared = 227 << 10;  // bytes per block on Hopper
inline constexpr int kMostWarps = 32;
inline constexpr int kMostMbarriers = 32;  // that the emulator follows

/// A position in shared memory: a pointer that knows the bounds of its array.
struct SharedAddress {
  std::uint32_t at = 0, begin = 0, end = 0;  // bytes from the start of the block's memory
};

/// Why a block cannot continue.
struct Stop {
  std::string why;
};

class SharedMemory {
 public:
  SharedMemory();

  /// Before a block: NaN, never accessed.
  void reset(std::uint32_t bytes, int warps, Report* report, bool check_races);

  /// Throw Stop for an access outside the array or not aligned to its size.
  void read(int thread, SharedAddress from, void* to, std::uint32_t bytes, const Site& site);
  void write(int thread, SharedAddress to, const void* from, std::uint32_t bytes, const Site& site);
  /// The 16 bytes that a lane contributes to ldmatrix.
  const std::byte* read_row(int thread, SharedAddress row, const Site& site);

  /// Reports what has not been written, or not in order.
  void require_written(int thread, SharedAddress from, std::uint32_t bytes, const Site& site);

  /// An asynchronous copy has been issued: until it lands the destination must not be accessed. Returns its number in findings.
  std::uint16_t begin_copy(int thread, SharedAddress to, std::uint32_t bytes, const Site& site) {
    return begin_copy(thread, to, bytes, site, bytes);
  }
  std::uint16_t begin_copy(int thread, SharedAddress to, std::uint32_t bytes, const Site& site, std::uint32_t alignment);
  void land_copy(int thread, SharedAddress to, const void* from, std::uint32_t bytes, std::uint32_t valid, std::uint16_t site);

  /// Bytes that a copy by TMA brings; null: zeros. Its mbarrier has a number below kMostMbarriers, and the copy a time among
  /// those of the mbarrier, from 1 on.
  void land_load(std::uint32_t to, const std::byte* from, std::uint32_t bytes, std::uint16_t site, int mbarrier,
                 std::uint32_t time);
  /// The thread has waited for all copies of an mbarrier up to a time.
  void see_loads(int thread, int mbarrier, std::uint32_t time);

  /// The running thread's writes so far will be visible to wgmma, after a barrier.
  void fence_async_proxy(int thread) { ++fences_[static_cast<std::size_t>(thread)]; }
  /// A wgmma that the warp of `thread` has issued reads these bytes. Returns the number of the site.
  std::uint16_t begin_product(int thread, std::uint32_t at, std::uint32_t bytes, const Site& site);
  /// The warp has waited for it.
  void end_product(int warp, std::uint32_t at, std::uint32_t bytes, std::uint16_t site);
  const std::byte* at(std::uint32_t address) const { return memory_.get() + address; }

  void pass_block_barrier();
  void pass_warp_barrier(int warp);

  void find(const std::string& what) { ++report_->findings[what]; }

 private:
  struct Access {
    std::uint32_t time = 0;  // 0: none
    std::uint16_t thread = 0, site = 0;
  };
  struct Cell {
    Access write;
    std::array<Access, 2> reads;     // by different threads; of three unordered readers, one may be forgotten
    std::uint32_t fences = 0;        // of the writer before it wrote
    bool copied = false;             // written by a copy that has landed
    std::uint16_t copy_site = 0;     // not 0: a copy to it has not landed
    std::uint16_t products = 0;      // in flight that read it
    std::uint16_t product_site = 0;  // of the last of them
  };

  std::byte* place(SharedAddress address, std::uint32_t bytes, const Site& site) { return place(address, bytes, site, bytes); }
  std::byte* place(SharedAddress address, std::uint32_t bytes, const Site& site, std::uint32_t alignment);
  void land(std::uint32_t to, std::uint32_t bytes, const Access& write, std::uint32_t fences);
  bool ordered(int thread, const Access& earlier) const;
  bool ordered_for_warp(int thread, const Access& earlier) const;
  bool fenced(int thread, const Cell& cell) const;
  void note_read(int thread, std::uint32_t at, std::uint32_t bytes, const Site& site);
  void note_write(int thread, std::uint32_t at, std::uint32_t bytes, const Site& site);
  void report_race(int thread, const char* kind, const Site& site, const Access& other);
  void report_in_flight(const char* kind, const Site& site, std::uint16_t copy_site);
  std::uint16_t number_of(const Site& site);

  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::vector<Cell> cells_;  // one for every two bytes
  std::vector<Site> sites_;  // number -> place
  std::array<std::uint16_t, 256> recent_{};
  std::array<std::uint32_t, kMostWarps> time_{}, block_time_{};
  // fence_async_proxy() by thread: all, and those before the last barrier of its warp and of the block.
  std::array<std::uint32_t, kMostWarps * 32> fences_{}, warp_fences_{}, block_fences_{};
  std::array<std::array<std::uint32_t, kMostWarps * 32>, kMostMbarriers> loads_seen_{};  // by mbarrier and thread
  int mbarriers_ = 0;                                                                    // that copies have landed at
  int warps_ = 0;
  std::uint32_t bytes_ = 0;
  Report* report_ = nullptr;
  bool check_races_ = true;
};

}  // namespace apam::kernels::cuda::emulator
