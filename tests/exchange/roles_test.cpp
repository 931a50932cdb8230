#include "apam/exchange/roles.h"

#include <gtest/gtest.h>

namespace apam::exchange {
namespace {

TEST(Roles, WorkersAreBehindTheMasters) {
  constexpr Roles roles = Roles::of(5, 2, false);
  EXPECT_EQ(roles.workers, 3);
  EXPECT_EQ(roles.ranks(), 5);
  for (int rank = 0; rank < 5; ++rank) {
    EXPECT_EQ(roles.is_master(rank), rank < 2);
    EXPECT_EQ(roles.is_worker(rank), rank >= 2);
  }
  EXPECT_EQ(roles.rank_of_worker(2), 4);
  EXPECT_EQ(roles.worker_of(4), 2);
}

TEST(Roles, ColocatedMastersAreWorkersToo) {
  constexpr Roles roles = Roles::of(3, 2, true);
  EXPECT_EQ(roles.workers, 3);
  EXPECT_EQ(roles.ranks(), 3);
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(roles.is_master(rank), rank < 2);
    EXPECT_TRUE(roles.is_worker(rank));
    EXPECT_EQ(roles.worker_of(roles.rank_of_worker(rank)), rank);
  }
}

TEST(Roles, AreCompleteWithAMasterAndAWorkerForIt) {
  EXPECT_TRUE(Roles::of(2, 1, false).complete());
  EXPECT_FALSE(Roles::of(1, 1, false).complete());
  EXPECT_FALSE(Roles::of(2, 0, false).complete());
  EXPECT_TRUE(Roles::of(1, 1, true).complete());
  EXPECT_TRUE(Roles::of(3, 3, true).complete());
  EXPECT_FALSE(Roles::of(3, 4, true).complete());
}

}  // namespace
}  // namespace apam::exchange
