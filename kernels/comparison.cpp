#include "kernels/comparison.h"

#include <algorithm>
#include <cmath>

#include "kernels/median.h"

namespace apam::kernels {
namespace {

constexpr double kMillisecondsPerInterruption = 20;
constexpr double kQuietBefore = 5;       // milliseconds before a clean round without an interrupted round
constexpr double kLeastShare = 0.9;      // of the CPU time that a clean run gets
constexpr double kRoundsOfBudget = 1.5;  // in multiples of `least`: the budget of long rounds
constexpr double kBetweenChecks = 1.1;   // results are checked whenever the total time has grown by this factor

using Round = std::vector<Taken>;  // one run of each kernel

/// The value at a share (0 .. 1) of the sorted values.
double quantile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

/// Average number of cores that a run got.
double cores(const Taken& run) { return run.wall > 0 ? run.cpu / run.wall : 1; }

double wall_time(const Round& round) {
  double sum = 0;
  for (const Taken& run : round) sum += run.wall;
  return sum;
}

bool interrupted(const Round& round) {
  return std::any_of(round.begin(), round.end(), [](const Taken& run) {
    return static_cast<double>(run.interruptions) > std::floor(run.wall / kMillisecondsPerInterruption);
  });
}

/// How kernel `challenger` compares with kernel `other`.
enum class Standing : std::uint8_t { ahead, behind, open };

class Rounds {
 public:
  Rounds(std::size_t count, const ComparisonRules& rules) : count_(count), rules_(rules) {}

  void add(Round round) {
    double idle = 0;
    for (const Taken& run : round) idle += std::min(run.wall, run.cpu);
    idle_round_ = all_.empty() ? idle : std::min(idle_round_, idle);
    spent_ += wall_time(round);
    all_.push_back(std::move(round));
  }

  /// Decides which of all rounds so far are clean.
  void classify() {
    const std::vector<double> usual = usual_cores();
    clean_.clear();
    disturbed_ = 0;
    double quiet_for = kQuietBefore;
    for (const Round& round : all_) {
      const bool was_interrupted = interrupted(round);
      const double wall = wall_time(round);
      bool clean = !was_interrupted && quiet_for >= kQuietBefore;
      quiet_for = was_interrupted ? 0 : quiet_for + wall;
      for (std::size_t i = 0; i < count_; ++i) clean = clean && cores(round[i]) >= kLeastShare * std::max(1.0, usual[i]);
      if (clean) {
        clean_.push_back(&round);
      } else {
        disturbed_ += wall;
      }
    }
  }

  double spent() const { return spent_; }
  int size() const { return static_cast<int>(all_.size()); }
  int clean() const { return static_cast<int>(clean_.size()); }

  /// Whether there are enough clean rounds, and each kernel ran for this long in them.
  bool ran_for(double milliseconds) const {
    if (clean() < rules_.least) return false;
    if (clean() >= rules_.most) return true;
    for (std::size_t i = 0; i < count_; ++i) {
      double sum = 0;
      for (const Round* round : clean_) sum += (*round)[i].wall;
      if (sum < milliseconds) return false;
    }
    return true;
  }

  bool budget_is_spent() const {
    return disturbed_ >= std::max(rules_.budget * static_cast<double>(count_), kRoundsOfBudget * rules_.least * idle_round_);
  }

  /// By the 98 % confidence interval of the median ratio: the order statistics n/2 -+ z sqrt(n) / 2 with z = 2.4.
  Standing standing(std::size_t challenger, std::size_t other) const {
    if (clean_.empty()) return Standing::open;
    std::vector<double> ratios;
    for (const Round* round : clean_) ratios.push_back((*round)[challenger].wall / (*round)[other].wall);
    std::sort(ratios.begin(), ratios.end());
    const auto n = static_cast<double>(ratios.size());
    const auto low = static_cast<std::size_t>(std::max(0.0, std::floor(n / 2 - 1.2 * std::sqrt(n))));
    if (ratios[ratios.size() - 1 - low] < 1 / (rules_.lead * rules_.guard)) return Standing::ahead;
    return ratios[low] > rules_.guard / rules_.lead ? Standing::behind : Standing::open;
  }

  Comparison::Times times(std::size_t kernel) const {
    std::vector<double> walls;
    for (const Round* round : clean_) walls.push_back((*round)[kernel].wall);
    if (walls.empty()) {
      for (const Round& round : all_) walls.push_back(round[kernel].wall);
    }
    std::sort(walls.begin(), walls.end());
    const double middle = median(walls);
    return {middle, middle > 0 ? (quantile(walls, 0.75) - quantile(walls, 0.25)) / middle : 0};
  }

 private:
  /// Per kernel, the upper quartile of the cores that its runs got.
  std::vector<double> usual_cores() const {
    std::vector<double> usual;
    for (std::size_t i = 0; i < count_; ++i) {
      std::vector<double> got;
      for (const Round& round : all_) got.push_back(cores(round[i]));
      std::sort(got.begin(), got.end());
      usual.push_back(quantile(got, 0.75));
    }
    return usual;
  }

  std::size_t count_;
  const ComparisonRules& rules_;
  std::vector<Round> all_;
  std::vector<const Round*> clean_;  // by the last classify(); in all_, valid until the next add()
  double spent_ = 0;                 // wall time of all rounds, milliseconds
  double disturbed_ = 0;             // wall time of the rounds that are not clean, by the last classify()
  double idle_round_ = 0;            // upper bound of the time of a round on an idle machine
};

struct Ranking {
  std::size_t winner = 0;
  bool clear = true;  // no comparison with the winner is open
};

/// The first kernel, unless another one is ahead of it; among those, the earliest that no later one is ahead of.
Ranking rank(const Rounds& rounds, std::size_t count) {
  Ranking ranking;
  for (std::size_t challenger = 1; challenger < count; ++challenger) {
    if (rounds.standing(challenger, 0) != Standing::ahead) continue;
    if (ranking.winner == 0 || rounds.standing(challenger, ranking.winner) == Standing::ahead) ranking.winner = challenger;
  }
  for (std::size_t challenger = 1; challenger < count; ++challenger) {
    if (challenger == ranking.winner) continue;
    ranking.clear = ranking.clear && rounds.standing(challenger, ranking.winner) == Standing::behind;
  }
  return ranking;
}

}  // namespace

Comparison compare(std::size_t count, const RunClock& clock, const std::function<void(std::size_t)>& run,
                   const ComparisonRules& rules) {
  Rounds rounds(count, rules);
  const auto one_round = [&] {
    Round round;
    for (std::size_t i = 0; i < count; ++i) round.push_back(clock([&] { run(i); }));
    return round;
  };
  one_round();  // warm-up
  Comparison result;
  for (double next_check = 0;;) {
    rounds.add(one_round());
    if (rounds.spent() < next_check) continue;
    next_check = kBetweenChecks * rounds.spent();
    rounds.classify();
    const Ranking ranking = rank(rounds, count);
    const bool clear = ranking.clear && rounds.ran_for(rules.milliseconds);
    const bool clear_for_long = clear && rounds.ran_for(rules.clear_after);
    if (!clear_for_long && !rounds.ran_for(rules.enough) && !rounds.budget_is_spent()) continue;
    result.doubtful = !clear;
    result.winner = clear ? ranking.winner : 0;
    break;
  }
  for (std::size_t i = 0; i < count; ++i) result.times.push_back(rounds.times(i));
  result.rounds = rounds.size();
  result.clean = rounds.clean();
  return result;
}

}  // namespace apam::kernels
