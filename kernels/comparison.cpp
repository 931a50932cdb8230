#include "kernels/comparison.h"

#include <algorithm>
#include <cmath>

#include "kernels/median.h"

namespace apam::kernels {
namespace {

constexpr double kMillisecondsPerInterruption = 20;
constexpr double kQuietBefore = 5;       // milliseconds
constexpr double kLeastShare = 0.9;      // of the CPU time that a clean run has
constexpr double kRoundsOfBudget = 1.5;  // in multiples of `least`, where a round is long

using Round = std::vector<Taken>;  // one run of each kernel

/// The value below which a share of the sorted values lies.
double quantile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

/// Cores that a run had to itself, on average.
double cores(const Taken& run) { return run.wall > 0 ? run.cpu / run.wall : 1; }

/// How a challenger stands against another kernel.
enum class Standing : std::uint8_t { ahead, behind, open };

class Rounds {
 public:
  Rounds(std::size_t count, const ComparisonRules& rules) : count_(count), rules_(rules) {}

  void add(Round round) {
    double needed = 0;
    for (const Taken& run : round) {
      spent_ += run.wall;
      needed += std::min(run.wall, run.cpu);
    }
    needed_ = all_.empty() ? needed : std::min(needed_, needed);
    all_.push_back(std::move(round));
  }
  double spent() const { return spent_; }
  std::size_t size() const { return all_.size(); }

  /// Picks the clean rounds, by all that is known now.
  void sift() {
    std::vector<double> usual(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      std::vector<double> had;
      for (const Round& round : all_) had.push_back(cores(round[i]));
      std::sort(had.begin(), had.end());
      usual[i] = quantile(had, 0.75);
    }
    clean_.clear();
    disturbed_ = 0;
    double undisturbed_for = kQuietBefore;  // milliseconds up to the round
    for (const Round& round : all_) {
      bool clean = undisturbed_for >= kQuietBefore, interrupted = false;
      double wall = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        const double allowed = std::floor(round[i].wall / kMillisecondsPerInterruption);
        interrupted = interrupted || static_cast<double>(round[i].interruptions) > allowed;
        clean = clean && cores(round[i]) >= kLeastShare * std::max(1.0, usual[i]);
        wall += round[i].wall;
      }
      undisturbed_for = interrupted ? 0 : undisturbed_for + wall;
      if (clean && !interrupted) {
        clean_.push_back(&round);
      } else {
        disturbed_ += wall;
      }
    }
  }
  int clean() const { return static_cast<int>(clean_.size()); }
  bool has_least() const { return clean() >= rules_.least; }

  /// Whether each kernel has run for so long in clean rounds.
  bool ran_for(double milliseconds) const {
    if (clean() >= rules_.most) return true;
    for (std::size_t i = 0; i < count_; ++i) {
      double sum = 0;
      for (const Round* round : clean_) sum += (*round)[i].wall;
      if (sum < milliseconds) return false;
    }
    return true;
  }
  bool budget_is_spent() const {
    return disturbed_ >= std::max(rules_.budget * static_cast<double>(count_), kRoundsOfBudget * rules_.least * needed_);
  }

  /// The median ratio of n clean rounds lies between those at n/2 -+ 1.2 sqrt(n), with 98 %: z sqrt(n) / 2 with z = 2.4.
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
  std::size_t count_;
  const ComparisonRules& rules_;
  std::vector<Round> all_;
  std::vector<const Round*> clean_;   // in all_, valid until the next add()
  double spent_ = 0, disturbed_ = 0;  // milliseconds; disturbed_ as of the last sift()
  double needed_ = 0;                 // at most what a round takes on an idle machine, whatever waiting there was
};

/// The first, unless a later one leads it; among those that do, the earliest that no later one leads.
struct Ranking {
  std::size_t winner = 0;
  bool clear = true;  // no comparison is open
};

Ranking rank(const Rounds& rounds, std::size_t count) {
  Ranking ranking;
  for (std::size_t challenger = 1; challenger < count; ++challenger) {
    const bool ahead = rounds.standing(challenger, 0) == Standing::ahead;
    if (ahead && (ranking.winner == 0 || rounds.standing(challenger, ranking.winner) == Standing::ahead)) {
      ranking.winner = challenger;
    }
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
  constexpr double kLookAgain = 1.1;  // the rounds are looked at when they have taken this many times as long as the last time
  Rounds rounds(count, rules);
  Comparison result;
  const auto one_round = [&] {
    Round round;
    for (std::size_t i = 0; i < count; ++i) round.push_back(clock([&] { run(i); }));
    return round;
  };
  one_round();
  for (double look_at = 0;;) {
    rounds.add(one_round());
    if (rounds.spent() < look_at) continue;
    look_at = kLookAgain * rounds.spent();
    rounds.sift();
    const Ranking ranking = rank(rounds, count);
    const bool clear = rounds.has_least() && rounds.ran_for(rules.milliseconds) && ranking.clear;
    const bool enough = rounds.has_least() && rounds.ran_for(rules.enough);
    if (!enough && !rounds.budget_is_spent() && !(clear && rounds.ran_for(rules.clear_after))) continue;
    result.doubtful = !clear;
    result.winner = result.doubtful ? 0 : ranking.winner;
    break;
  }
  for (std::size_t i = 0; i < count; ++i) result.times.push_back(rounds.times(i));
  result.rounds = static_cast<int>(rounds.size());
  result.clean = rounds.clean();
  return result;
}

}  // namespace apam::kernels
