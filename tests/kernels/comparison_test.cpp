// compare() with scripted run times and disturbances.
#include "kernels/comparison.h"

#include <gtest/gtest.h>

#include <atomic>
#include <ctime>
#include <thread>

#include "kernels/runtime/philox.h"

namespace apam::kernels {
namespace {

constexpr double kThreads = 2;

/// A run on two idle cores.
Taken quiet(double milliseconds) { return {milliseconds, kThreads * milliseconds, 0}; }

/// The same run if other work takes half of the time, in slices of some milliseconds.
Taken loaded(double milliseconds) {
  return {2 * milliseconds, kThreads * milliseconds, 1 + static_cast<std::int64_t>(milliseconds)};
}

/// The result of the clock for a kernel in a round; round 0 is the warm-up.
using Script = std::function<Taken(std::size_t kernel, int round)>;

/// Compares by a script, and checks that kernels run in turn.
Comparison play(std::size_t count, const Script& script, const ComparisonRules& rules = {}) {
  std::size_t calls = 0, ran = 0;
  const auto clock = [&](const std::function<void()>& work) {
    work();
    const std::size_t call = calls++;
    return script(call % count, static_cast<int>(call / count));
  };
  const Comparison result = compare(
      count, clock, [&](std::size_t i) { EXPECT_EQ(i, ran++ % count); }, rules);
  EXPECT_EQ(ran, calls);
  EXPECT_EQ(static_cast<std::size_t>(result.rounds + 1) * count, calls);  // the first round is not counted
  EXPECT_EQ(result.times.size(), count);
  return result;
}

/// `milliseconds` with uniform noise of at most this share.
double jittered(double milliseconds, double share, std::size_t kernel, int round, std::uint64_t seed) {
  const Random random(seed, Purpose::sample, kernel);
  return milliseconds * (1 + share * (2 * random.uniform(static_cast<std::uint64_t>(round)) - 1));
}

TEST(Comparison, on_a_quiet_machine_a_clear_lead_wins) {
  const auto result = play(2, [](std::size_t kernel, int) { return quiet(kernel == 0 ? 5 : 4); });
  EXPECT_EQ(result.winner, 1U);
  EXPECT_FALSE(result.doubtful);
  EXPECT_EQ(result.clean, result.rounds);
  EXPECT_DOUBLE_EQ(result.times[0].median, 5);
  EXPECT_DOUBLE_EQ(result.times[1].median, 4);
  EXPECT_DOUBLE_EQ(result.times[1].spread, 0);
}

TEST(Comparison, the_first_wins_ties) {
  for (const double challenger : {4.95, 5.0, 10.0}) {
    const auto result = play(2, [&](std::size_t kernel, int) { return quiet(kernel == 0 ? 5 : challenger); });
    EXPECT_EQ(result.winner, 0U) << challenger;
    EXPECT_FALSE(result.doubtful);
  }
}

TEST(Comparison, a_lead_close_to_the_line_is_doubtful) {
  for (const double challenger : {4.85, 4.7}) {
    const auto result = play(2, [&](std::size_t kernel, int) { return quiet(kernel == 0 ? 5 : challenger); });
    EXPECT_EQ(result.winner, 0U) << challenger;
    EXPECT_TRUE(result.doubtful) << challenger;
    EXPECT_EQ(result.clean, result.rounds);
  }
}

TEST(Comparison, near_ties_go_to_the_first) {
  int doubtful = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto result = play(2, [&](std::size_t kernel, int round) { return quiet(jittered(1, 0.05, kernel, round, seed)); });
    EXPECT_EQ(result.winner, 0U) << seed;
    doubtful += result.doubtful ? 1 : 0;
  }
  EXPECT_LT(doubtful, 10) << "2 % of the intervals miss the median";
}

TEST(Comparison, near_the_line_the_challenger_wins_or_the_result_is_doubtful) {
  int ahead = 0, doubtful = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto result = play(
        2, [&](std::size_t kernel, int round) { return quiet(jittered(kernel == 0 ? 1 : 0.918, 0.05, kernel, round, seed)); });
    ahead += static_cast<int>(result.winner);
    doubtful += result.doubtful ? 1 : 0;
    EXPECT_TRUE(result.winner == 1 || result.doubtful) << seed << ": the first does not win a clear result";
  }
  EXPECT_GT(ahead, 0);
  EXPECT_GT(doubtful, 0);
}

TEST(Comparison, a_clear_lead_wins_through_noise) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto result = play(
        2, [&](std::size_t kernel, int round) { return quiet(jittered(kernel == 0 ? 1 : 0.8, 0.15, kernel, round, seed)); });
    EXPECT_EQ(result.winner, 1U) << seed;
    EXPECT_NEAR(result.times[1].median, 0.8, 0.08);
    EXPECT_GT(result.times[1].spread, 0.02);
  }
}

TEST(Comparison, disturbed_rounds_do_not_hurt_a_kernel) {
  // By wall time the faster kernel loses every third round, and its mean is higher.
  const auto result = play(2, [](std::size_t kernel, int round) {
    return kernel == 1 && round % 3 == 0 ? Taken{12, 8, 3} : quiet(kernel == 0 ? 5 : 4);
  });
  EXPECT_EQ(result.winner, 1U);
  EXPECT_FALSE(result.doubtful);
  EXPECT_LT(result.clean, result.rounds);
  EXPECT_DOUBLE_EQ(result.times[1].median, 4);
}

TEST(Comparison, disturbed_rounds_do_not_help_the_other_kernel) {
  // Most rounds of the first are disturbed: by wall time an equally fast challenger looks twice as fast.
  const auto result =
      play(2, [](std::size_t kernel, int round) { return kernel == 0 && round % 10 < 6 ? loaded(2) : quiet(2); });
  EXPECT_EQ(result.winner, 0U);
  EXPECT_DOUBLE_EQ(result.times[0].median, 2);
}

TEST(Comparison, lost_cpu_time_is_a_disturbance_without_a_switch) {
  // A thread of the team was switched out in an earlier run and is not back yet.
  const auto result = play(2, [](std::size_t kernel, int round) {
    return kernel == 0 && round % 3 == 0 ? Taken{4, 5, 0} : quiet(2);
  });
  EXPECT_EQ(result.clean, result.rounds - result.rounds / 3);
  EXPECT_EQ(result.winner, 0U);
}

TEST(Comparison, a_steadily_loaded_machine_is_doubtful_within_the_budget) {
  const ComparisonRules rules;
  double spent = 0;
  const auto result = play(2, [&](std::size_t kernel, int) {
    const Taken taken = loaded(kernel == 0 ? 5 : 2);
    spent += taken.wall;
    return taken;
  });
  EXPECT_TRUE(result.doubtful);
  EXPECT_EQ(result.winner, 0U) << "the first, although the other looks faster";
  EXPECT_EQ(result.clean, 0);
  EXPECT_DOUBLE_EQ(result.times[0].median, 10) << "of disturbed runs, since there are no others";
  EXPECT_LT(spent, 2 * rules.budget + 30);
}

TEST(Comparison, the_budget_of_long_runs_does_not_grow_with_the_load) {
  double spent = 0;
  const auto result = play(2, [&](std::size_t, int) {
    const Taken taken{1000, 60, 40};  // 30 ms on two threads, which mostly wait for cores
    spent += taken.wall;
    return taken;
  });
  EXPECT_TRUE(result.doubtful);
  EXPECT_EQ(result.winner, 0U);
  EXPECT_LE(spent, 2 * 2 * 1000) << "the warm-up and one more round";
}

TEST(Comparison, short_runs_between_interruptions_are_not_clean) {
  // Other work runs every 4 ms; in between the first kernel never gets both cores.
  const auto result = play(2, [](std::size_t kernel, int round) {
    return round % 40 == 0 ? Taken{3, 3, 2} : kernel == 0 ? Taken{0.06, 0.06, 0} : Taken{0.04, 0.04, 0};
  });
  EXPECT_TRUE(result.doubtful);
  EXPECT_EQ(result.winner, 0U);
}

TEST(Comparison, a_loaded_machine_with_quiet_phases_is_clear) {
  const auto result = play(2, [](std::size_t kernel, int round) {
    const double milliseconds = kernel == 0 ? 1 : 0.5;
    return round % 20 < 12 ? quiet(milliseconds) : loaded(milliseconds);
  });
  EXPECT_EQ(result.winner, 1U);
  EXPECT_FALSE(result.doubtful);
}

TEST(Comparison, a_bimodal_challenger_does_not_win) {
  const auto result = play(2, [](std::size_t kernel, int round) {
    return quiet(kernel == 0 ? 1 : round % 2 == 0 ? 0.7 : 1.3);
  });
  EXPECT_EQ(result.winner, 0U);
  EXPECT_TRUE(result.doubtful) << "it leads in half of the rounds";
  EXPECT_GT(result.times[1].spread, 0.4);
}

TEST(Comparison, long_runs_may_be_interrupted_sometimes) {
  const auto result = play(2, [](std::size_t kernel, int) {
    const double wall = kernel == 0 ? 100 : 60;
    return Taken{wall, kThreads * wall - 0.2, 2};
  });
  EXPECT_EQ(result.winner, 1U);
  EXPECT_FALSE(result.doubtful);
  EXPECT_EQ(result.rounds, ComparisonRules{}.least);
}

TEST(Comparison, a_result_needs_the_least_number_of_clean_rounds) {
  const auto result = play(2, [](std::size_t kernel, int round) {
    const double milliseconds = kernel == 0 ? 50 : 30;
    return round <= 6 ? quiet(milliseconds) : loaded(milliseconds);
  });
  EXPECT_TRUE(result.doubtful);
  EXPECT_EQ(result.clean, 6);
}

TEST(Comparison, among_many_the_earliest_that_no_other_leads_wins) {
  const auto winner = [](std::vector<double> milliseconds) {
    return play(milliseconds.size(), [&](std::size_t kernel, int) { return quiet(milliseconds[kernel]); }).winner;
  };
  EXPECT_EQ(winner({5}), 0U);
  EXPECT_EQ(winner({5, 4, 3}), 2U);
  EXPECT_EQ(winner({5, 4, 3.95}), 1U);
  EXPECT_EQ(winner({5, 4.9, 4.8}), 0U);
  EXPECT_EQ(winner({5, 6, 4}), 2U);
}

TEST(RunClock, measures_wall_time_and_cpu_time) {
  const Taken slept = take_time([] {
    const timespec nap{0, 30'000'000};
    ::nanosleep(&nap, nullptr);
  });
  EXPECT_GE(slept.wall, 30);
  EXPECT_LT(slept.cpu, 15);
  volatile double sum = 0;
  const Taken worked = take_time([&] {
    for (int i = 0; i < 20'000'000; ++i) sum = sum + 1;
  });
  EXPECT_GT(worked.cpu, 1);
  EXPECT_GE(worked.wall, 0.9 * worked.cpu) << "of one thread";
  EXPECT_GE(worked.interruptions, 0);
}

TEST(RunClock, includes_the_current_time_of_other_threads) {
  // The process clock would include the other thread only up to the last tick of its core.
  std::atomic<double> cpu = 0;
  std::atomic<bool> started = false, finish = false;
  std::thread other([&] {
    const auto now = [] {
      timespec time{};
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
    };
    const double begin = now();
    while (!finish) {
      cpu = now() - begin;
      started = true;
    }
  });
  while (!started) std::this_thread::yield();
  // `cpu` lags by a turn of the loop, about a microsecond, and by more if the other thread is interrupted within one: a few
  // rounds may be wrong. A process clock that advances by ticks of 4 ms is wrong in seven rounds of eight, which take 0.5 ms.
  constexpr int kRounds = 100;
  int right = 0;
  for (int round = 0; round < kRounds;) {
    double of_other = 0;
    const Taken taken = take_time([&] {
      const double before = cpu;
      const timespec nap{0, 500'000};
      ::nanosleep(&nap, nullptr);
      of_other = cpu - before;
    });
    if (of_other < 0.1) continue;  // the other thread has hardly run
    right += taken.cpu >= 0.9 * of_other ? 1 : 0;
    ++round;
  }
  EXPECT_GE(right, 0.75 * kRounds);
  finish = true;
  other.join();
}

}  // namespace
}  // namespace apam::kernels
