#include "apam/training/progress.h"

#include <gtest/gtest.h>

namespace apam::training {
namespace {

TEST(Progress, DescribesDurations) {
  EXPECT_EQ(describe_duration(0), "0s");
  EXPECT_EQ(describe_duration(59.4), "59s");
  EXPECT_EQ(describe_duration(59.6), "1m00s");
  EXPECT_EQ(describe_duration(3599), "59m59s");
  EXPECT_EQ(describe_duration(7500), "2h05m");
}

TEST(Progress, DescribesAStatus) {
  const Status status{.epoch = 1.24,
                      .epochs = 2,
                      .update = 31,
                      .updates = 50,
                      .seconds = 62,
                      .seconds_left = 38.2,
                      .images_per_second = 47.31,
                      .loss = 1.8421,
                      .staleness_mean = 1.02,
                      .staleness_max = 2,
                      .stale = true};
  EXPECT_EQ(describe(status), "epoch 1.24/2  update 31/50  47.3 images/s  loss 1.8421  staleness 1.0 (max 2)  ETA 38s");
  Status alone = status;
  alone.stale = false;
  alone.seconds_left.reset();
  alone.test_accuracy = 0.4124;
  alone.test_top5 = 0.9031;
  EXPECT_EQ(describe(alone), "epoch 1.24/2  update 31/50  47.3 images/s  loss 1.8421  test 41.2 %  top-5 90.3 %");
}

}  // namespace
}  // namespace apam::training
