// Which of several kernels is fastest, measured on a machine that other processes use too.
//
// Kernels run in rounds: each once, in turn. Only clean rounds count. In a clean round
//   - there are few involuntary context switches: at most one per 20 ms of a run, and no more than that in the 5 ms before the
//     round, since what runs right after an interruption finds cold caches and occupied cores;
//   - each run gets CPU time: at least 90 % of its wall time, and at least 90 % of the cores that runs of this kernel usually
//   get.
//
// Two kernels are compared by the ratio of their times in the same round. Two order statistics of these ratios bound the median
// with 98 % confidence. A challenger wins if the whole interval shows a lead of more than `lead`; the first kernel, the tie-
// break, wins if the whole interval does not. `guard` is the distance that the interval must keep from that line: the ratio of
// the same two kernels varies by about as much between processes. This hysteresis makes kernels of about the same speed compare
// alike every time. If the interval is too close to the line, or too few rounds are clean, the result is doubtful: the first
// kernel is taken, and the result is not stored.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/runtime/run_clock.h"
#include "kernels/runtime/stream.h"

namespace apam::kernels {

/// When a comparison ends. Times are milliseconds per kernel, in clean rounds unless stated otherwise.
struct ComparisonRules {
  int least = 7;             ///< clean rounds that any result needs
  int most = 1000;           ///< clean rounds after which no run time is too short
  double milliseconds = 10;  ///< run time that any result needs
  double clear_after = 40;   ///< run time after which a clear result is taken
  double enough = 150;       ///< run time after which a result that is still not clear is doubtful
  double budget = 100;       ///< run time in disturbed rounds after which the comparison ends; more for long runs
  double lead = 1.05;        ///< speedup over the first kernel that a challenger needs
  double guard = 1.03;       ///< distance from that line, as a factor, that a clear result needs
};

struct Comparison {
  struct Times {
    double median = 0;  ///< milliseconds of the clean runs; of all runs if none is clean
    double spread = 0;  ///< interquartile range as a share of the median
  };
  std::size_t winner = 0;
  bool doubtful = false;     ///< too few clean rounds, or a lead too close to the line; then winner is 0
  std::vector<Times> times;  ///< of each kernel
  int rounds = 0, clean = 0;
};

/// The clock of the device, whose work nothing interrupts. The stream must outlive it.
inline RunClock clock_of(const Stream& stream) {
  return [&stream](const std::function<void()>& work) {
    const double milliseconds = stream.time(work);
    return Taken{milliseconds, milliseconds, 0};
  };
}

/// Compares kernels 0 .. count-1; 0 wins ties. run(i) runs kernel i once, to completion. The first round is a warm-up and does
/// not count.
Comparison compare(std::size_t count, const RunClock& clock, const std::function<void(std::size_t)>& run,
                   const ComparisonRules& rules = {});

}  // namespace apam::kernels
