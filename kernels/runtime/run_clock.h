// What a piece of work took: on the wall, and of the processor. Where the two differ, something else ran in between.
#pragma once

#include <cstdint>
#include <functional>

namespace apam {

struct Taken {
  double wall = 0;                 ///< milliseconds
  double cpu = 0;                  ///< milliseconds, of all threads of the process together
  std::int64_t interruptions = 0;  ///< involuntary context switches: a thread had to leave its core though it had work
};

/// Runs the work, to its end, and says what it took. A parameter of everything that times, so that tests can script it.
using RunClock = std::function<Taken(const std::function<void()>& work)>;

/// By the clocks of this process: CLOCK_MONOTONIC, the CPU clock of each thread, and getrusage(2).
Taken take_time(const std::function<void()>& work);

}  // namespace apam
