// Times alternatives in rounds: every round runs each alternative once, so a disturbance of the machine affects all of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace apam::bench {

/// How many rounds are timed.
struct Rounds {
  int min_rounds = 3;
  double min_milliseconds = 0;  ///< of timed runs, for every alternative
  int max_rounds = 100;         ///< upper limit, even if min_milliseconds is not reached
};

/// Times `count` alternatives; run(i) runs alternative i once and returns its milliseconds. Returns them as
/// result[alternative][round], without the warm-up round.
template <class Run>
std::vector<std::vector<double>> time_alternately(std::size_t count, const Rounds& rounds, Run run) {
  for (std::size_t i = 0; i < count; ++i) run(i);  // warm-up

  std::vector<std::vector<double>> times(count);
  std::vector<double> totals(count, 0.0);
  const auto enough = [&](int done) {
    if (done < rounds.min_rounds) return false;
    if (done >= rounds.max_rounds) return true;
    return std::all_of(totals.begin(), totals.end(), [&](double total) { return total >= rounds.min_milliseconds; });
  };
  for (int done = 0; !enough(done); ++done) {
    for (std::size_t i = 0; i < count; ++i) {
      times[i].push_back(run(i));
      totals[i] += times[i].back();
    }
  }
  return times;
}

}  // namespace apam::bench
