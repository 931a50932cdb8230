// Times alternatives against each other: in rounds, each alternative once a round, so that what disturbs the machine for a
// while disturbs all of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace apam::bench {

/// When enough rounds have been run. The first, which warms up, is not counted.
struct Rounds {
  int least = 3;            ///< run at least so many,
  double milliseconds = 0;  ///< and on until every alternative has run for so long,
  int most = 100;           ///< but not more than so many
};

/// Milliseconds of every round of each alternative 0 .. count-1; run(i) runs the i-th once, to its end.
template <class Run>
std::vector<std::vector<double>> time_alternately(std::size_t count, const Rounds& rounds, Run run) {
  std::vector<std::vector<double>> times(count);
  std::vector<double> total(count, 0.0);
  const auto enough = [&](int done) {
    if (done < rounds.least) return false;
    return done >= rounds.most || *std::min_element(total.begin(), total.end()) >= rounds.milliseconds;
  };
  for (int round = 0; round == 0 || !enough(round - 1); ++round) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run(i);
      const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
      if (round == 0) continue;
      times[i].push_back(elapsed.count());
      total[i] += elapsed.count();
    }
  }
  return times;
}

}  // namespace apam::bench
