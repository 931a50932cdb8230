// Copies by TMA and the mbarriers of a block. A copy lands as late as possible: when no thread of the block can run before.
// Which of several lands is the schedule's choice.
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

  std::int64_t issued() const { return issued_; }
  std::size_t in_flight() const { return loads_.size(); }
  /// Lands copy `index`, 0 is the oldest in flight.
  void land(SharedMemory&, std::size_t index);

 private:
  struct Barrier {
    int arrivals = 0, left = 0;          // of the current phase
    std::int64_t bytes = 0;              // announced, and not copied yet
    int phase = 0;                       // that is not complete
    std::uint32_t copied = 0, seen = 0;  // copies that have landed, and of them those of phases that are complete
    int number = 0;
    int thread = 0;  // that initialised it
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
  std::int64_t issued_ = 0;
};

}  // namespace apam::kernels::cuda::emulator
