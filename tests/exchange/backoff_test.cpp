#include "apam/exchange/backoff.h"

#include <gtest/gtest.h>

namespace apam::exchange {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using Waiting = Backoff::Waiting;

TEST(Backoff, SleepsGrowByAnEighthUpToAMillisecond) {
  Backoff backoff;
  for (int i = 0; i < 40; ++i) EXPECT_EQ(backoff.next(Waiting::idle).count(), 0);
  nanoseconds waited{}, last = backoff.next(Waiting::idle);
  EXPECT_EQ(last, microseconds(20));
  for (int i = 0; i < 200; ++i) {
    waited += last;
    const nanoseconds sleep = backoff.next(Waiting::idle);
    EXPECT_GE(sleep, last);
    // The n-th sleep is 20 us (9/8)^n, and the sleeps before it sum to 8 times its growth.
    EXPECT_LE(sleep, microseconds(20) + waited / 8) << "late by more than an eighth";
    if (waited >= std::chrono::milliseconds(9)) {
      EXPECT_EQ(sleep, microseconds(1000));
    }
    last = sleep;
  }
}

TEST(Backoff, StaysAwakeWhileAMessageMoves) {
  Backoff backoff;
  for (int i = 0; i < 200; ++i) EXPECT_LE(backoff.next(Waiting::transfer), microseconds(100));
  EXPECT_EQ(backoff.next(Waiting::transfer), microseconds(100));
  EXPECT_GT(backoff.next(Waiting::idle), microseconds(100)) << "the wait becomes an idle one";
  for (int i = 0; i < 500; ++i) backoff.next(Waiting::transfer);
  EXPECT_EQ(backoff.next(Waiting::transfer), microseconds(400)) << "the other side is busy";
}

TEST(Backoff, RestartsAfterSuccess) {
  Backoff backoff;
  for (int i = 0; i < 100; ++i) backoff.next(Waiting::idle);
  backoff.reset();
  EXPECT_EQ(backoff.next(Waiting::idle).count(), 0);
}

}  // namespace
}  // namespace apam::exchange
