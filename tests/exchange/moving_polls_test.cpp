#include "apam/exchange/mpi/moving_polls.h"

#include <gtest/gtest.h>

namespace apam::exchange::mpi {
namespace {

TEST(MovingPolls, OneInterruptedPollHasNotMovedValues) {
  MovingPolls polls;
  polls.add(2e-6);
  EXPECT_FALSE(polls.may_move());
  polls.add(300e-6);
  EXPECT_TRUE(polls.may_move());
  EXPECT_FALSE(polls.moved());
  polls.add(2e-6);
  EXPECT_FALSE(polls.may_move());
  polls.add(300e-6);
  EXPECT_FALSE(polls.moved());
}

TEST(MovingPolls, SeveralCostlyPollsHave) {
  MovingPolls polls;
  polls.add(2e-6);
  polls.add(30e-6);
  polls.add(30e-6);
  EXPECT_TRUE(polls.moved());
  polls.add(30e-6);
  EXPECT_TRUE(polls.moved());
  polls.add(20e-6);
  EXPECT_FALSE(polls.moved());
}

TEST(MovingPolls, OnASlowMachineTheCheapestPollIsTheMeasure) {
  MovingPolls polls;
  for (int i = 0; i < 5; ++i) {
    polls.add(24e-6);  // finds nothing
    EXPECT_FALSE(polls.may_move());
    polls.add(60e-6);
    EXPECT_FALSE(polls.may_move());
  }
  polls.add(200e-6);
  polls.add(200e-6);
  EXPECT_TRUE(polls.moved());
}

}  // namespace
}  // namespace apam::exchange::mpi
