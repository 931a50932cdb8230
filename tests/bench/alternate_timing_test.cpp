// time_alternately(): the order of the runs, and when it ends.
#include "bench/alternate_timing.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace apam::bench {
namespace {

/// The alternatives in the order in which they ran, as letters.
std::string order(std::size_t count, const Rounds& rounds) {
  std::string ran;
  const auto times = time_alternately(count, rounds, [&](std::size_t i) { ran += static_cast<char>('a' + i); });
  EXPECT_EQ(times.size(), count);
  for (const auto& of_one : times) EXPECT_EQ((of_one.size() + 1) * count, ran.size());  // one round is warm-up
  return ran;
}

TEST(AlternateTiming, is_round_robin) { EXPECT_EQ(order(2, {.least = 3}), "abababab"); }

TEST(AlternateTiming, takes_a_single_alternative) { EXPECT_EQ(order(1, {.least = 2}), "aaa"); }

TEST(AlternateTiming, runs_for_the_given_time_up_to_the_largest_number_of_rounds) {
  EXPECT_EQ(order(2, {.least = 1, .milliseconds = 1e9, .most = 5}), "abababababab");
}

TEST(AlternateTiming, reports_the_time_of_each_run) {
  const auto times = time_alternately(
      2, {.least = 2}, [](std::size_t i) { std::this_thread::sleep_for(std::chrono::milliseconds(i == 1 ? 20 : 0)); });
  for (const double taken : times[1]) EXPECT_GE(taken, 20);
}

}  // namespace
}  // namespace apam::bench
