// epochs.csv: one row per epoch, in order, with the evaluations that belong to it.
#include "apam/training/epoch_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace apam::training {
namespace {

constexpr const char* kHeader =
    "epoch,update,seconds,lr,train_loss,train_accuracy,train_top5,test_loss,test_accuracy,test_top5,staleness_mean,staleness_"
    "max";

class EpochTableTest : public testing::Test {
 protected:
  std::vector<std::string> lines() const {
    std::ifstream file(folder_.path() / "epochs.csv");
    std::vector<std::string> found;
    for (std::string line; std::getline(file, line);) found.push_back(line);
    return found;
  }

  /// Update `u` at 2 u seconds: four rows with a mean loss of u, staleness u - 1.
  void update(EpochTable& table, std::int64_t u) const {
    table.add({.update = u,
               .staleness = u - 1,
               .header = {.loss_sum = 4.0 * static_cast<double>(u), .rows = 4, .top1 = 1, .top5 = 3},
               .rate = 0.5 / static_cast<double>(u)},
              2.0 * static_cast<double>(u));
  }

  static Evaluation evaluation(std::int64_t u) {
    return {.update = u, .at = 0, .scores = {.loss = 1.5, .accuracy = 0.25, .top5 = 0.5, .images = 4}};
  }

  support::TemporaryFolder folder_;
  RunFolder run_{folder_.path(), Existing::refuse};
};

TEST_F(EpochTableTest, WritesARowPerEpoch) {
  EpochTable table({2}, 5, run_);
  for (std::int64_t u = 1; u <= 5; ++u) {
    update(table, u);
    if (u % 2 == 0 || u == 5) {
      table.announce_evaluation();
      table.add(evaluation(u));
    }
  }
  table.finish();
  EXPECT_EQ(lines(), (std::vector<std::string>{kHeader, "1,2,4,0.25,1.5,0.25,0.75,1.5,0.25,0.5,0.5,1",
                                               "2,4,8,0.125,3.5,0.25,0.75,1.5,0.25,0.5,2.5,3",
                                               "2.5,5,10,0.1,5,0.25,0.75,1.5,0.25,0.5,4,4"}));
}

TEST_F(EpochTableTest, RowsWaitForTheirEvaluationAndStayInOrder) {
  EpochTable table({1}, 4, run_);
  update(table, 1);
  EXPECT_TRUE(lines().empty()) << "an evaluation may follow";
  table.announce_evaluation();
  update(table, 2);
  update(table, 3);
  table.announce_evaluation();
  EXPECT_TRUE(lines().empty()) << "that of update 1 is not finished";
  table.add(evaluation(1));
  ASSERT_EQ(lines().size(), 3U) << "the row of update 2 has none";
  EXPECT_EQ(lines()[2], "2,2,4,0.25,2,0.25,0.75,,,,1,1");
  table.add(evaluation(3));
  EXPECT_EQ(lines().size(), 4U);
}

TEST_F(EpochTableTest, AnEvaluationOfAnOlderUpdateDoesNotReleaseTheLastRow) {
  EpochTable table({2}, 8, run_);
  update(table, 1);
  table.announce_evaluation();
  update(table, 2);
  table.add(evaluation(1));
  EXPECT_TRUE(lines().empty());
  table.announce_evaluation();
  update(table, 3);
  EXPECT_TRUE(lines().empty());
  table.add(evaluation(2));
  EXPECT_EQ(lines().size(), 2U);
}

TEST_F(EpochTableTest, ARunThatEndsEarlyHasARowForThePart) {
  EpochTable table({2}, 8, run_);
  for (std::int64_t u = 1; u <= 3; ++u) update(table, u);
  table.announce_evaluation();  // abandoned
  table.finish();
  table.finish();
  ASSERT_EQ(lines().size(), 3U);
  EXPECT_EQ(lines()[2].substr(0, 6), "1.5,3,");
}

TEST_F(EpochTableTest, WritesNothingWithoutUpdates) {
  EpochTable({2}, 8, run_).finish();
  EXPECT_TRUE(lines().empty());
}

TEST_F(EpochTableTest, EpochsOfAFractionOfAnUpdateEndAtTheUpdateThatReachesThem) {
  EpochTable table({.batches = 5, .batches_per_update = 2, .all_batches = 15}, 8, run_);
  for (std::int64_t u = 1; u <= 8; ++u) update(table, u);
  table.finish();
  std::vector<std::string> rows;
  for (const std::string& line : lines()) rows.push_back(line.substr(0, line.find(',', line.find(',') + 1)));
  EXPECT_EQ(rows, (std::vector<std::string>{"epoch,update", "1.2,3", "2,5", "3,8"}));
}

}  // namespace
}  // namespace apam::training
