// What the monitor makes of updates, told to it one by one.
#include "apam/training/training_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <sstream>

namespace apam::training {
namespace {

/// Has room for one evaluation at a time, and finishes it when collected.
class OneAtATime : public Evaluations {
 public:
  bool submit(std::int64_t update, double at, In /*state*/, Need need) override {
    if (!asked_.empty() && need == Need::may_be_left_out) return false;
    asked_.push_back({update, at, {.loss = loss, .accuracy = 0.25, .top5 = 0.5, .images = 4}});
    return true;
  }
  std::vector<Evaluation> collect() override { return open_ ? std::exchange(asked_, {}) : std::vector<Evaluation>{}; }
  void finish() override { open_ = true; }
  void give_up() override {}
  double seconds_blocked() const override { return 0; }
  std::vector<KernelReport> kernels() const override { return {}; }

  double loss = 2;

 private:
  bool open_ = false;
  std::vector<Evaluation> asked_;
};

class MonitorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "monitor-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_.emplace(name, Existing::refuse);
  }
  void TearDown() override { std::filesystem::remove_all(folder_->path()); }

  std::vector<Json> metrics(const std::string& event) const {
    std::ifstream file(folder_->path() / "metrics.jsonl");
    std::vector<Json> lines;
    for (std::string text; std::getline(file, text);) {
      auto line = Json::parse(text);
      if (line["event"] == event) lines.push_back(std::move(line));
    }
    return lines;
  }

  /// Update `u` of worker `worker`: ten rows with a mean loss of u.
  static exchange::UpdateRecord update(std::int64_t u, int worker, std::int64_t staleness) {
    return {.update = u,
            .worker = worker,
            .staleness = staleness,
            .header = {.batch = u - 1, .loss_sum = 10.0 * static_cast<double>(u), .rows = 10, .top1 = 4},
            .at = 2.0 * static_cast<double>(u)};
  }

  std::optional<RunFolder> folder_;
  OneAtATime evaluations_;
  std::ostringstream text_;
  Progress progress_{text_, 0};
};

TEST_F(MonitorTest, MakesLinesAndTotals) {
  TrainingMonitor monitor({.updates_per_epoch = 4, .total_updates = 10, .workers = 2, .log_every = 3}, evaluations_, *folder_,
                          progress_);
  for (std::int64_t u = 1; u <= 10; ++u) {
    monitor.on_update(update(u, static_cast<int>(u % 2), u == 1 ? 0 : u == 7 ? 3 : 1));
    if (u % 4 == 0 || u == 10) monitor.on_snapshot(u, 2.0 * static_cast<double>(u), {});
  }
  monitor.finish();

  const auto lines = metrics("train");  // every third, at the end of an epoch, and the last
  std::vector<std::int64_t> updates;
  std::vector<double> losses;
  for (const auto& line : lines) {
    updates.push_back(line["update"]);
    losses.push_back(line["train_loss"]);
    EXPECT_EQ(line["train_accuracy"], 0.4);
  }
  EXPECT_EQ(updates, (std::vector<std::int64_t>{3, 4, 6, 8, 9, 10}));
  EXPECT_EQ(losses, (std::vector<double>{2, 4, 5.5, 7.5, 9, 10}));  // means since the line before
  EXPECT_EQ(lines[3]["staleness_mean"], 2.0);                       // of updates 7 and 8
  EXPECT_EQ(lines[3]["staleness_max"], 3);
  EXPECT_EQ(lines[3]["epoch"], 2.0);
  EXPECT_EQ(lines[3]["seconds"], 16.0);                         // of the events, not of a clock
  EXPECT_EQ(lines[3]["images_per_second"], 20.0 / 4);           // updates 7 and 8, from 12 to 16 s
  EXPECT_EQ(lines[0]["workers"], (std::vector<int>{1, 0, 1}));  // the order of arrival
  EXPECT_EQ(lines[3]["workers"], (std::vector<int>{1, 0}));

  ASSERT_EQ(metrics("evaluation").size(), 2U);
  EXPECT_EQ(metrics("evaluation")[0]["update"], 4);
  EXPECT_EQ(metrics("evaluation")[1]["update"], 10);  // the last is never left out
  ASSERT_EQ(metrics("evaluation left out").size(), 1U);
  EXPECT_EQ(metrics("evaluation left out")[0]["update"], 8);
  EXPECT_NE(text_.str().find("update 8: no evaluation"), std::string::npos);

  const auto outcome = monitor.outcome();
  EXPECT_EQ(outcome.updates, 10);
  EXPECT_EQ(outcome.train_loss, 8.5);  // of updates 7 to 10: an epoch
  EXPECT_EQ(outcome.last_evaluation->update, 10);
  EXPECT_EQ(outcome.seconds, 20.0);
  EXPECT_EQ(outcome.images_per_second, 80.0 / 16);  // after the first update of each of two workers, at 4 s
  EXPECT_EQ(monitor.staleness().histogram(), (std::vector<std::int64_t>{1, 8, 0, 1}));
}

// Losses that are not finite leave the last finite evaluation in place.
TEST_F(MonitorTest, KeepsTheLastFiniteEvaluation) {
  TrainingMonitor monitor({.updates_per_epoch = 4, .total_updates = 3}, evaluations_, *folder_, progress_);
  evaluations_.finish();  // each evaluation is done at once
  for (std::int64_t u = 1; u <= 3; ++u) {
    evaluations_.loss = u == 2 ? 1.5 : std::numeric_limits<double>::quiet_NaN();
    monitor.on_update(update(u, 0, 0));
    monitor.on_snapshot(u, 0, {});
  }
  monitor.finish();
  ASSERT_EQ(metrics("evaluation").size(), 3U);
  EXPECT_TRUE(metrics("evaluation")[2]["test_loss"].is_null());
  EXPECT_EQ(monitor.outcome().last_evaluation->update, 2);
}

}  // namespace
}  // namespace apam::training
