// Times alternatives round-robin, each once per round, so that a disturbance of the machine affects all of them alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace apam::bench {

/// How many rounds to time, after one round of warm-up.
struct Rounds {
  int least = 3;
  double milliseconds = 0;  ///< run time that each alternative needs in all,
  int most = 100;           ///< unless this many rounds are done
};

/// Milliseconds of each alternative 0 .. count-1 in each round; run(i) runs alternative i once, to completion.
template <class Run>
std::vector<std::vector<double>> time_alternately(std::size_t count, const Rounds& rounds, Run run) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  std::vector<std::vector<double>> times(count);
  std::vector<double> totals(count);
  if (count == 0) return times;
  for (std::size_t i = 0; i < count; ++i) run(i);  // warm-up
  for (int done = 0;
       done < rounds.least || (done < rounds.most && *std::min_element(totals.begin(), totals.end()) < rounds.milliseconds);
       ++done) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run(i);
      const Milliseconds elapsed = std::chrono::steady_clock::now() - start;
      times[i].push_back(elapsed.count());
      totals[i] += elapsed.count();
    }
  }
  return times;
}

}  // namespace apam::bench
