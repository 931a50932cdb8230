// Copies by TMA and the mbarriers of a block. A copy lands as late as possible: when no thread of the block can run before.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "kernels/cuda/emulator/shadow.h"
#include "kernels/cuda/emulator/tensor_map.h"

namespace apam::kernels::cuda::emulator {

class BlockLoads {
 public:
  void reset();

  /// All throw Stop for what the hardware does not define.
  void init(SharedMemory&, int thread, SharedAddress barrier, int arrivals, const Site&);
  /// The barriers that the thread has initialised may be used by the asynchronous proxy.
  void fence(int thread);
  void arrive(SharedMemory&, int thread, SharedAddress barrier, int bytes, const Site&);
  /// Whether a wait for this parity is over; if so, the thread sees what was copied.
  bool passes(SharedMemory&, int thread, SharedAddress barrier, int parity, const Site&);
  void issue(SharedMemory&, int thread, SharedAddress to, Chunks, SharedAddress barrier, const Site&);

  /// Lands the oldest copy. False if there is none.
  bool land(SharedMemory&);
  bool idle() const { return loads_.empty(); }

 private:
  struct Barrier {
    int arrivals = 0, left = 0;          // of the current phase
    std::int64_t bytes = 0;              // announced, and not copied yet
    int phase = 0;                       // that is not complete
    std::uint32_t copied = 0, seen = 0;  // times of the latest copies of this phase, and of phases that are complete
    int thread = 0;                      // that initialised it
    bool fenced = false;
  };
  struct Load {
    std::uint32_t to, barrier;
    Chunks chunks;
    std::uint16_t site;
  };

  Barrier& at(SharedAddress barrier, const Site&);
  static void complete(Barrier&);

  std::map<std::uint32_t, Barrier> barriers_;  // by address
  std::deque<Load> loads_;
};

}  // namespace apam::kernels::cuda::emulator
