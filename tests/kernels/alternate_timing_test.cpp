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

TEST(AlternateTiming, works_for_one) { EXPECT_EQ(order(1, {.least = 2, .until_clear = true}), "aaa"); }

TEST(AlternateTiming, goes_on_for_the_time_given_but_not_for_ever) {
  EXPECT_EQ(order(2, {.least = 1, .milliseconds = 1e9, .most = 5}), "abababababab");
}

/// Counted rounds of two alternatives, of which the first takes at least `milliseconds[round]`, the second 50 each time.
std::size_t rounds_of_unequal(const Rounds& rounds, const std::vector<int>& milliseconds) {
  std::size_t round = 0;
  const auto times = time_alternately(2, rounds, [&](std::size_t i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i == 1 ? 50 : milliseconds.at(round++)));
  });
  for (const double taken : times[1]) EXPECT_GE(taken, 50);
  return times[0].size();
}

TEST(AlternateTiming, stops_early_where_one_leads_in_every_round_for_a_while) {
  const std::vector<int> always(6, 0), not_once{0, 0, 100, 0, 0, 0};
  EXPECT_EQ(rounds_of_unequal({.least = 2, .milliseconds = 1e9, .most = 5, .until_clear = true}, always), 2U);
  EXPECT_EQ(rounds_of_unequal({.least = 2, .milliseconds = 1e9, .most = 5, .until_clear = true}, not_once), 4U);
  EXPECT_EQ(rounds_of_unequal({.least = 2, .milliseconds = 1e9, .most = 5}, always), 5U);
}

TEST(AlternateTiming, stops_no_earlier_than_it_may) {
  const std::vector<int> always(21, 1);
  const Rounds rounds{.least = 1, .milliseconds = 1e9, .most = 20, .until_clear = true, .clear_after = 40};
  EXPECT_GT(rounds_of_unequal(rounds, always), 1U);
}

}  // namespace
}  // namespace apam::kernels
