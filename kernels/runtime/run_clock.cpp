#include "kernels/runtime/run_clock.h"

#include <dirent.h>
#include <sys/resource.h>

#include <charconv>
#include <cstring>
#include <ctime>
#include <memory>

namespace apam {
namespace {

double milliseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

/// The CPU clock of a thread of this process, encoded as by pthread_getcpuclockid(3) (Linux: posix-timers_types.h).
clockid_t cpu_clock_of(int thread) {
  constexpr clockid_t kOneThread = 4, kScheduler = 2;
  return (~static_cast<clockid_t>(thread)) * 8 + (kOneThread | kScheduler);
}

/// CPU time of all threads. CLOCK_PROCESS_CPUTIME_ID lags by milliseconds: for a thread that is running on another core it has
/// the time at that core's last tick. Per-thread clocks are exact.
double cpu_of_all_threads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> threads(::opendir("/proc/self/task"), ::closedir);
  if (!threads) return milliseconds(CLOCK_PROCESS_CPUTIME_ID);
  double sum = 0;
  while (const dirent* entry = ::readdir(threads.get())) {
    int thread = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, thread).ptr == end) sum += milliseconds(cpu_clock_of(thread));
  }
  return sum;
}

std::int64_t interruptions() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The wall clock is read closest to the work, because reading the others takes some microseconds.
Taken take_time(const std::function<void()>& work) {
  const std::int64_t interruptions_before = interruptions();
  const double cpu_before = cpu_of_all_threads();
  const double wall_before = milliseconds(CLOCK_MONOTONIC);
  work();
  const double wall = milliseconds(CLOCK_MONOTONIC) - wall_before;
  const double cpu = cpu_of_all_threads() - cpu_before;
  return {wall, cpu > 0 ? cpu : 0, interruptions() - interruptions_before};  // negative if a thread has ended: its time is lost
}

}  // namespace apam
