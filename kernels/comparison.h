// Which of several kernels is fastest, told on a machine that others use too.
//
// The kernels take turns, in rounds. A round counts when it is clean, which all of its runs must be:
//   - involuntary context switches: at most one per 20 ms of the run, and no more within the 5 ms before the round: on a busy
//     machine threads of a team come and go all the time, and what runs in between has its caches and cores taken away;
//   - CPU time: at least 90 % of the wall time, and at least 90 % of what this kernel's runs usually get of the cores.
// Kernels are compared round by round: the ratio of a challenger's time to the first's, whose median lies (with 98 %) between
// two order statistics of the ratios. A challenger wins when all of that interval says that it leads by more than `lead`, and
// the first wins when none of it does, each with `guard` to spare: the ratio of the same two kernels differs by as much from
// process to process. So kernels that are about as fast as each other are chosen alike every time, whichever was ahead by
// chance. Where the interval comes too close to the line, or too few rounds are clean, the result is doubtful: the first is
// taken, and nothing is stored.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/runtime/run_clock.h"

namespace apam::kernels {

struct ComparisonRules {
  int least = 7;             ///< clean rounds that a result needs,
  int most = 1000;           ///< and after which there are no more
  double milliseconds = 10;  ///< in clean rounds that each kernel must have run for when the budget is spent,
  double clear_after = 40;   ///< milliseconds in clean rounds that each kernel must have run for when a result is taken,
  double enough = 150;       ///< and those after which one that is not clear yet stays doubtful
  double budget = 100;       ///< milliseconds in disturbed rounds, per kernel, that end a comparison; more where runs are long
  double lead = 1.05;        ///< by which a challenger must be faster than the first
  double guard = 1.03;       ///< by which a result must keep clear of that
};

struct Comparison {
  struct Times {
    double median = 0;  ///< milliseconds of the clean runs, or of all where none is clean
    double spread = 0;  ///< their interquartile range as a share of the median
  };
  std::size_t winner = 0;
  bool doubtful = false;     ///< too few clean rounds, or a lead too close to the line; then the first is the winner
  std::vector<Times> times;  ///< of each kernel
  int rounds = 0, clean = 0;
};

/// Compares kernels 0 .. count-1, of which the first wins ties; run(i) runs the i-th once, to its end. The first round, which
/// warms up, does not count.
Comparison compare(std::size_t count, const RunClock& clock, const std::function<void(std::size_t)>& run,
                   const ComparisonRules& rules = {});

}  // namespace apam::kernels
