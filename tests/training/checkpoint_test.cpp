// Checkpoints as files. tests/program/resume_test.py continues trainings with them.
#include "apam/training/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "apam/training/saved_metrics.h"
#include "nets/safetensors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throws.h"

namespace apam::training {
namespace {

using support::throws;

class CheckpointFile : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / Checkpoint::kFile; }

  static Checkpoint sample() {
    Checkpoint checkpoint{.update = 5, .initial = {2, "the digest"}};
    checkpoint.batches = {.next = 9, .open = {4, 6, 7, 8}, .counts = {11, 5, 1, 2, 3}};
    checkpoint.copied_bytes = 4567890123;
    checkpoint.fields = {{"--seed", "1"}, {"the data set", "a name"}};
    checkpoint.metrics = {{"lr", 0.25}};
    checkpoint.files = {{"metrics.jsonl", 123}};
    checkpoint.versions = 2;
    checkpoint.states = {1, 2, 3, 4, 5, 6};
    checkpoint.moments = {7, 8, 9, 10};
    return checkpoint;
  }
  void write(const Checkpoint& checkpoint) const {
    checkpoint.write(path(), {checkpoint.versions, checkpoint.states, checkpoint.moments});
  }

  support::TemporaryFolder folder_;
};

TEST_F(CheckpointFile, HasAllThatWasWritten) {
  write(sample());
  const Checkpoint read = Checkpoint::read(path()), expected = sample();
  EXPECT_EQ(read.update, expected.update);
  EXPECT_EQ(read.initial.batches_tracked, 2);
  EXPECT_EQ(read.initial.sha256, "the digest");
  EXPECT_EQ(read.batches.next, expected.batches.next);
  EXPECT_EQ(read.batches.open, expected.batches.open);
  EXPECT_EQ(read.batches.counts.granted, 11);
  EXPECT_EQ(read.batches.counts.ended(), expected.batches.counts.ended());
  EXPECT_EQ(read.copied_bytes, expected.copied_bytes);
  EXPECT_EQ(read.fields, expected.fields);
  EXPECT_EQ(read.metrics, expected.metrics);
  EXPECT_EQ(read.files, expected.files);
  EXPECT_EQ(read.versions, expected.versions);
  EXPECT_EQ(read.states, expected.states);
  EXPECT_EQ(read.moments, expected.moments);
}

TEST_F(CheckpointFile, OfAnOptimizerWithoutMomentsHasNone) {
  Checkpoint checkpoint = sample();
  checkpoint.moments.clear();
  checkpoint.initial.sha256.reset();  // no --init
  write(checkpoint);
  EXPECT_EQ(Checkpoint::read(path()).initial.sha256, std::nullopt);
  EXPECT_TRUE(Checkpoint::read(path()).moments.empty());
}

TEST_F(CheckpointFile, RestoresVersionsInAHistory) {
  exchange::WeightHistory history(Device{}, {2, 1, 2, 3});
  sample().restore(history);
  EXPECT_EQ(history.current().version(), 5);
  EXPECT_EQ(history.current().state().data()[0], 4);
  EXPECT_EQ(history.at(4).state().data()[2], 3);
  exchange::WeightHistory other(Device{}, {3, 1, 2, 3});
  EXPECT_TRUE(throws<InputError>({"states of 3 floats", "expected 4"}, [&] { sample().restore(other); }));
}

TEST_F(CheckpointFile, IsRefusedIfItIsMalformed) {
  const auto read = [&] { Checkpoint::read(path()); };
  const std::vector<float> values(6);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  const auto write_tensors = [&](std::vector<nets::NamedTensor> tensors, const std::map<std::string, std::string>& metadata) {
    nets::write_safetensors(path(), tensors, metadata);
  };
  const nets::NamedTensor states{"states", "F32", {2, 3}, bytes}, moments{"moments", "F32", {6}, bytes};
  write_tensors({states}, {});
  EXPECT_TRUE(throws<InputError>({"is no checkpoint", "moments"}, read));
  write_tensors({{"states", "F32", {6}, bytes}, moments}, {});
  EXPECT_TRUE(throws<InputError>({"tensor states", "1 dimensions", "F32 and 2"}, read));
  write_tensors({{"states", "I32", {2, 3}, bytes}, moments}, {});
  EXPECT_TRUE(throws<InputError>({"tensor states", "I32"}, read));
  write_tensors({states, moments}, {});
  EXPECT_TRUE(throws<InputError>({"is no checkpoint", "metadata 'apam'"}, read));
  write_tensors({states, moments}, {{"apam", "{"}});
  EXPECT_TRUE(throws<InputError>({"checkpoint.safetensors: metadata 'apam'", "parse error"}, read));
  write_tensors({states, moments}, {{"apam", R"({"update": 5})"}});
  EXPECT_TRUE(throws<InputError>({"metadata 'apam'", "batches_before"}, read));
  Checkpoint first = sample();
  first.update = 0;
  write(first);
  EXPECT_TRUE(throws<InputError>({"2 states up to version 0", "1 to 1"}, read));
}

TEST(SavedMetrics, KeepNumbersThatAreNotFinite) {
  for (const double value : {0.1, -1e300, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    const Json text = Json::parse(saved::number(value).dump());
    EXPECT_EQ(saved::number_from(text), value);
  }
  EXPECT_TRUE(std::isnan(saved::number_from(Json::parse(saved::number(std::nan("")).dump()))));
}

}  // namespace
}  // namespace apam::training
