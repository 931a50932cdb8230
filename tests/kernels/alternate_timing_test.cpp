// In which order alternatives run against each other, and when that ends.
#include "kernels/alternate_timing.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace apam::kernels {
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

TEST(AlternateTiming, works_for_one) { EXPECT_EQ(order(1, {.least = 2, .clear_lead = 1.1}), "aaa"); }

TEST(AlternateTiming, goes_on_for_the_time_given_but_not_for_ever) {
  EXPECT_EQ(order(2, {.least = 1, .milliseconds = 1e9, .most = 5}), "abababababab");
}

/// Counted rounds of two alternatives, of which the second takes at least 5 ms.
std::size_t rounds_of_unequal(const Rounds& rounds) {
  const auto times = time_alternately(2, rounds, [](std::size_t i) {
    if (i == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  for (const double milliseconds : times[1]) EXPECT_GE(milliseconds, 5);
  return times[0].size();
}

TEST(AlternateTiming, stops_early_where_one_leads_clearly) {
  EXPECT_EQ(rounds_of_unequal({.least = 2, .milliseconds = 1e9, .most = 10, .clear_lead = 1.25}), 2U);
  EXPECT_EQ(rounds_of_unequal({.least = 2, .milliseconds = 1e9, .most = 10}), 10U);
}

}  // namespace
}  // namespace apam::kernels
