// Epochs of updates that average several mini-batches.
#include "apam/exchange/epochs.h"

#include <gtest/gtest.h>

#include <vector>

#include "apam/exchange/observer.h"

namespace apam::exchange {
namespace {

std::vector<double> positions(const Epochs& epochs, std::int64_t updates) {
  std::vector<double> found;
  for (std::int64_t u = 0; u <= updates; ++u) found.push_back(epochs.at(u));
  return found;
}

std::vector<std::int64_t> ends(const Epochs& epochs, std::int64_t updates) {
  std::vector<std::int64_t> found;
  for (std::int64_t u = 1; u <= updates; ++u) {
    if (epochs.ends_at(u)) found.push_back(u);
  }
  return found;
}

TEST(Epochs, OfOneBatchPerUpdate) {
  const Epochs epochs{4};
  EXPECT_EQ(positions(epochs, 6), (std::vector<double>{0, 0.25, 0.5, 0.75, 1, 1.25, 1.5}));
  EXPECT_EQ(ends(epochs, 9), (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(epochs.updates_of(3), 12);
  EXPECT_EQ(epochs.updates_per_epoch(), 4);
}

TEST(Epochs, MayBeNoWholeNumberOfUpdates) {
  const Epochs epochs{.batches = 25, .batches_per_update = 10, .all_batches = 75};
  EXPECT_EQ(positions(epochs, 8), (std::vector<double>{0, 0.4, 0.8, 1.2, 1.6, 2, 2.4, 2.8, 3})) << "the last has 5 batches";
  EXPECT_EQ(ends(epochs, 8), (std::vector<std::int64_t>{3, 5, 8}));
  EXPECT_EQ(epochs.updates_per_epoch(), 2.5);
  EXPECT_EQ(epochs.updates_of(1), 3);
  EXPECT_EQ(epochs.updates_of(2), 5);
}

TEST(Epochs, OneUpdateMayCompleteSeveral) {
  const Epochs epochs{.batches = 2, .batches_per_update = 5, .all_batches = 20};
  EXPECT_EQ(positions(epochs, 4), (std::vector<double>{0, 2.5, 5, 7.5, 10}));
  EXPECT_EQ(ends(epochs, 4), (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST(Epochs, UpdatesOfAWarmUpHaveMoreBatches) {
  const Epochs epochs{.batches = 4, .warmup_updates = 2, .batches_per_warmup_update = 3};
  EXPECT_EQ(positions(epochs, 6), (std::vector<double>{0, 0.75, 1.5, 1.75, 2, 2.25, 2.5}));
  EXPECT_EQ(ends(epochs, 8), (std::vector<std::int64_t>{2, 4, 8}));
}

TEST(Schedule, SnapshotsAtTheEndsOfEpochs) {
  const Schedule schedule{.total_updates = 7, .snapshot_epochs = Epochs{.batches = 5, .batches_per_update = 2}};
  std::vector<std::int64_t> found;
  for (std::int64_t u = 1; u <= 7; ++u) {
    if (schedule.snapshot_at(u)) found.push_back(u);
  }
  EXPECT_EQ(found, (std::vector<std::int64_t>{3, 5, 7}));
}

}  // namespace
}  // namespace apam::exchange
