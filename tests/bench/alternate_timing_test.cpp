// In which order alternatives run against each other, and when that ends.
#include "bench/alternate_timing.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace apam::bench {
namespace {

/// Letters of the alternatives in the order in which they ran.
std::string order(std::size_t count, const Rounds& rounds) {
  std::string ran;
  const auto times = time_alternately(count, rounds, [&](std::size_t i) { ran += static_cast<char>('a' + i); });
  EXPECT_EQ(times.size(), count);
  for (const auto& of_one : times) EXPECT_EQ((of_one.size() + 1) * count, ran.size());  // the first round is not counted
  return ran;
}

TEST(AlternateTiming, takes_turns) { EXPECT_EQ(order(2, {.least = 3}), "abababab"); }

TEST(AlternateTiming, works_for_one) { EXPECT_EQ(order(1, {.least = 2}), "aaa"); }

TEST(AlternateTiming, goes_on_for_the_time_given_but_not_for_ever) {
  EXPECT_EQ(order(2, {.least = 1, .milliseconds = 1e9, .most = 5}), "abababababab");
}

TEST(AlternateTiming, tells_how_long_each_run_took) {
  const auto times = time_alternately(
      2, {.least = 2}, [](std::size_t i) { std::this_thread::sleep_for(std::chrono::milliseconds(i == 1 ? 20 : 0)); });
  for (const double taken : times[1]) EXPECT_GE(taken, 20);
}

}  // namespace
}  // namespace apam::bench
