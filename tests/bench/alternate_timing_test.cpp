// The order of the timed runs, and when timing stops.
#include "bench/alternate_timing.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace apam::bench {
namespace {

/// The alternatives as letters, in the order in which they ran.
std::string order(std::size_t count, const Rounds& rounds) {
  std::string ran;
  const auto times = time_alternately(count, rounds, [&](std::size_t i) {
    ran += static_cast<char>('a' + i);
    return 1.0;
  });
  EXPECT_EQ(times.size(), count);
  for (const auto& of_one : times) EXPECT_EQ((of_one.size() + 1) * count, ran.size());  // + 1: the warm-up
  return ran;
}

TEST(AlternateTiming, alternates) { EXPECT_EQ(order(2, {.min_rounds = 3}), "abababab"); }

TEST(AlternateTiming, works_for_one_alternative) { EXPECT_EQ(order(1, {.min_rounds = 2}), "aaa"); }

TEST(AlternateTiming, works_without_alternatives) { EXPECT_EQ(order(0, {.min_rounds = 2}), ""); }

TEST(AlternateTiming, stops_at_max_rounds_before_min_milliseconds) {
  EXPECT_EQ(order(2, {.min_rounds = 1, .min_milliseconds = 1e9, .max_rounds = 5}), "abababababab");
}

TEST(AlternateTiming, returns_the_time_of_each_run) {
  const auto times = time_alternately(2, {.min_rounds = 2}, [](std::size_t i) { return i == 1 ? 20.0 : 3.0; });
  EXPECT_EQ(times, (std::vector<std::vector<double>>{{3, 3}, {20, 20}}));
}

}  // namespace
}  // namespace apam::bench
