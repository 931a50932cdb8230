// One block that runs: its threads, what they wait for, and their asynchronous copies.
#pragma once

#include <array>
#include <deque>
#include <random>
#include <vector>

#include "kernels/cuda/emulator/block_loads.h"
#include "kernels/cuda/emulator/machine.h"
#include "kernels/cuda/emulator/warp_products.h"

namespace apam::kernels::cuda::emulator {

/// What the lanes of a warp bring to a collective instruction, by lane.
using Lanes = std::array<void*, kWarp>;

class Block {
 public:
  Block(const Launch& launch, const Settings& settings, SharedMemory& memory, Report& report, std::mt19937& random);

  /// Runs all threads on these stacks. False if the block cannot continue.
  bool run(const std::vector<Stack>& stacks, Extent place);

  const Launch& launch() const { return launch_; }
  Extent place() const { return place_; }
  int thread() const { return running_; }
  SharedMemory& memory() { return memory_; }
  Report& report() { return report_; }

  /// Waits until all threads of the block are here.
  void meet_block(const Site& site);
  /// Waits until all lanes of the warp have brought `mine` to the instruction `name`; the last one calls act(context, lanes).
  void meet_warp(const char* name, void* mine, const Site& site, void (*act)(void* context, const Lanes&), void* context);
  /// The lanes of the running warp have met, and their earlier accesses are ordered before later ones.
  void order_warp() { memory_.pass_warp_barrier(running_ / kWarp); }

  /// The running thread's earlier accesses, and those ordered before them, are visible to all blocks.
  void fence() { running().fenced = true; }
  /// Reports a thread that tells other blocks of its work without a fence since the last barrier.
  void require_fence(const Site& site);

  /// wgmma of the running warp.
  WarpProducts& products() { return products_[static_cast<std::size_t>(running_ / kWarp)]; }

  // cp.async
  void copy(SharedAddress to, const void* from, std::uint32_t bytes, std::uint32_t valid, const Site& site);
  void commit_copies();
  void wait_copies(std::size_t groups_left);

  // Copies by TMA.
  void init_mbarrier(SharedAddress barrier, int arrivals, const Site& site) {
    loads_.init(memory_, running_, barrier, arrivals, site);
  }
  void fence_mbarriers() { loads_.fence(running_); }
  void arrive(SharedAddress barrier, int bytes, const Site& site);
  void wait_mbarrier(SharedAddress barrier, int parity, const Site& site);
  void load(SharedAddress to, Chunks chunks, SharedAddress barrier, const Site& site) {
    loads_.issue(memory_, running_, to, std::move(chunks), barrier, site);
  }
  /// Issued in all runs.
  std::int64_t loads() const { return loads_.issued(); }

 private:
  struct Copy {
    SharedAddress to;
    const void* from;
    std::uint32_t bytes, valid;
    std::uint16_t site;
  };
  struct Thread {
    Fiber fiber;
    Block* block = nullptr;
    const char* waits_for = nullptr;
    Site where;
    std::vector<Copy> open;                // copies since the last commit
    std::deque<std::vector<Copy>> groups;  // committed, oldest first
    bool fenced = false;                   // since the last barrier of the block
  };
  struct Warp {
    const char* name = nullptr;
    Site where;
    Lanes lanes{};
    int arrived = 0;
  };

  static void run_thread(void* thread);
  Thread& running() { return threads_[static_cast<std::size_t>(running_)]; }
  int next();
  void wait(const char* what, const Site& site);
  void report_deadlock();
  bool land_a_load();
  void wake_at_mbarriers();

  const Launch& launch_;
  const Settings& settings_;
  SharedMemory& memory_;
  Report& report_;
  std::mt19937& random_;
  Extent place_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<GroupProducts> group_products_;  // of each 4 warps
  std::vector<WarpProducts> products_;
  std::deque<int> ready_;
  std::vector<int> at_barrier_, at_mbarriers_;
  BlockLoads loads_;
  int running_ = 0;
  int ended_ = 0;
  bool stopped_ = false;
};

/// The block that runs on this thread. Throws DeviceError outside kernels.
Block& current_block();

}  // namespace apam::kernels::cuda::emulator
