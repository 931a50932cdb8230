// Wall time and CPU time of a piece of work. If they differ, other work ran in between.
#pragma once

#include <cstdint>
#include <functional>

namespace apam {

struct Taken {
  double wall = 0;                 ///< milliseconds
  double cpu = 0;                  ///< milliseconds, sum over all threads of the process
  std::int64_t interruptions = 0;  ///< involuntary context switches: a running thread was preempted
};

/// Runs the work to completion and measures it. Passed to all code that times, so that tests can script it.
using RunClock = std::function<Taken(const std::function<void()>& work)>;

/// Measures with CLOCK_MONOTONIC, the CPU clock of each thread, and getrusage(2).
Taken take_time(const std::function<void()>& work);

/// Seconds of CPU time that this process has used, in user and system mode, all threads together (getrusage(2)).
double processor_seconds();

}  // namespace apam
