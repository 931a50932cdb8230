#include "kernels/runtime/run_clock.h"

#include <sys/resource.h>

#include <ctime>

namespace apam {
namespace {

double milliseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

std::int64_t interruptions() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

// The wall clock is read last before and first after the work: the other two take about a microsecond.
Taken take_time(const std::function<void()>& work) {
  const std::int64_t interruptions_before = interruptions();
  const double cpu_before = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
  const double wall_before = milliseconds(CLOCK_MONOTONIC);
  work();
  const double wall = milliseconds(CLOCK_MONOTONIC) - wall_before;
  return {wall, milliseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_before, interruptions() - interruptions_before};
}

}  // namespace apam
