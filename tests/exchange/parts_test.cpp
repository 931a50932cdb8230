#include "apam/exchange/mpi/parts.h"

#include <gtest/gtest.h>

#include "apam/exchange/error.h"
#include "tests/support/throws.h"

namespace apam::exchange::mpi {
namespace {

TEST(Parts, AreCutFromTheEndOfTheGradientsAndTheStatisticsComeLast) {
  const std::vector<Part> parts{{70, 30}, {40, 30}, {10, 30}, {0, 10}, {100, 7}};
  EXPECT_EQ(parts_of({.contribution = 107, .weights = 100, .part = 30}), parts);
}

TEST(Parts, CoverEveryFloatOnce) {
  for (const std::size_t weights : {1U, 29U, 30U, 31U, 60U, 1000U}) {
    for (const std::size_t statistics : {0U, 1U, 100U}) {
      std::vector<int> covered(weights + statistics);
      for (const Part& part : parts_of({weights + statistics, weights, 30})) {
        ASSERT_GT(part.count, 0U);
        for (std::size_t i = 0; i < part.count; ++i) ++covered.at(part.offset + i);
      }
      EXPECT_EQ(covered, std::vector<int>(weights + statistics, 1)) << weights << " and " << statistics;
    }
  }
}

TEST(Parts, OfSeveralMastersAreCutFromTheEndOfEachRange) {
  const MessageSizes sizes{.contribution = 112, .weights = 96, .part = 30, .masters = 2};
  const std::vector<Part> parts{{66, 30, 1}, {48, 18, 1}, {18, 30, 0}, {0, 18, 0}, {96, 16, 1}};
  EXPECT_EQ(parts_of(sizes), parts);
  EXPECT_EQ(parts_of(sizes, 0), (std::vector<Part>{{18, 30, 0}, {0, 18, 0}}));
  EXPECT_EQ(parts_of(sizes, 1), (std::vector<Part>{{66, 30, 1}, {48, 18, 1}, {96, 16, 1}}));
  EXPECT_EQ(complete_parts(parts, sizes, 48), 2U);
  EXPECT_EQ(complete_parts(parts, sizes, 0), 4U) << "not the statistics";
}

TEST(Parts, AreCompleteFromTheEndOn) {
  const MessageSizes sizes{.contribution = 107, .weights = 100, .part = 30};
  const auto parts = parts_of(sizes);
  EXPECT_EQ(complete_parts(parts, sizes, 100), 0U) << "no gradient is complete";
  EXPECT_EQ(complete_parts(parts, sizes, 71), 0U);
  EXPECT_EQ(complete_parts(parts, sizes, 70), 1U);
  EXPECT_EQ(complete_parts(parts, sizes, 10), 3U);
  EXPECT_EQ(complete_parts(parts, sizes, 0), 4U) << "not the statistics";
}

TEST(Parts, ImpossibleSizesAreAnError) {
  EXPECT_TRUE(support::throws<ExchangeError>({"mpi", "a contribution of 99", "100 weights"}, [] { parts_of({99, 100}); }));
  EXPECT_TRUE(support::throws<ExchangeError>({"mpi", "parts of 0"}, [] { parts_of({100, 100, 0}); }));
}

}  // namespace
}  // namespace apam::exchange::mpi
