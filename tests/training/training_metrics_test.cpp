// Metrics of updates that the tests feed in one by one.
#include "apam/training/training_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

namespace apam::training {
namespace {

/// Keeps the notes.
class Notes : public Progress {
 public:
  bool due(double /*seconds*/) const override { return false; }
  void show(const Status& /*status*/) override {}
  void note(const std::string& text) override { text_ += text + "\n"; }
  void close() override {}
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// Has room for one evaluation, which is finished when collected.
class OneAtATime : public Evaluator {
 public:
  bool submit(const exchange::StateSnapshot& snapshot, Need need) override {
    if (!queue_.empty() && need == Need::optional) return false;
    queue_.push_back({snapshot.update, snapshot.at, {.loss = loss, .accuracy = 0.25, .top5 = 0.5, .images = 4}});
    return true;
  }
  std::vector<Evaluation> collect() override { return open_ ? std::exchange(queue_, {}) : std::vector<Evaluation>{}; }
  void finish() override { open_ = true; }
  void give_up() override {}
  double seconds_blocked() const override { return 0; }
  std::vector<KernelReport> kernels() const override { return {}; }

  double loss = 2;

 private:
  bool open_ = false;
  std::vector<Evaluation> queue_;
};

class TrainingMetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "monitor-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_.emplace(name, Existing::refuse);
  }
  void TearDown() override { std::filesystem::remove_all(folder_->path()); }

  std::vector<Json> lines(const std::string& event) const {
    std::ifstream file(folder_->path() / "metrics.jsonl");
    std::vector<Json> found;
    for (std::string text; std::getline(file, text);) {
      auto line = Json::parse(text);
      if (line["event"] == event) found.push_back(std::move(line));
    }
    return found;
  }

  /// Update `u` of worker `worker`: ten rows with a mean loss of u.
  static exchange::UpdateRecord update(std::int64_t u, int worker, std::int64_t staleness) {
    return {.update = u,
            .worker = worker,
            .staleness = staleness,
            .header = {.batch = u - 1, .loss_sum = 10.0 * static_cast<double>(u), .rows = 10, .top1 = 4, .top5 = 7},
            .at = 2.0 * static_cast<double>(u),
            .rate = 0.5};
  }

  std::optional<RunFolder> folder_;
  OneAtATime evaluations_;
  Notes progress_;
};

TEST_F(TrainingMetricsTest, AWorkerThatLeavesIsReportedAndCounted) {
  TrainingMetrics metrics({.epochs = {4}, .total_updates = 8, .roles = {.masters = 2, .workers = 3}}, evaluations_, *folder_,
                          progress_);
  metrics.on_departure({0, "early"}, 0.5);  // before the first update no file changes
  EXPECT_FALSE(std::filesystem::exists(folder_->path() / "metrics.jsonl"));
  metrics.on_update(update(1, 2, 0));
  metrics.on_departure({1, "its process has ended"}, 3);
  EXPECT_EQ(metrics.summary().departed, 2);
  EXPECT_EQ(std::vector<int>(metrics.departed_ranks().begin(), metrics.departed_ranks().end()), (std::vector<int>{2, 3}));
  const auto departures = lines("departure");
  ASSERT_EQ(departures.size(), 1U);
  EXPECT_EQ(departures[0]["worker"], 1);
  EXPECT_EQ(departures[0]["update"], 1);
  EXPECT_EQ(departures[0]["seconds"], 3.0);
  EXPECT_EQ(departures[0]["why"], "its process has ended");
  EXPECT_NE(progress_.text().find("update 1: worker 1 (rank 3) has left: its process has ended"), std::string::npos);
}

TEST_F(TrainingMetricsTest, WritesLinesAndSumsUp) {
  TrainingMetrics metrics({.epochs = {4}, .total_updates = 10, .roles = {.workers = 2}, .log_every = 3}, evaluations_, *folder_,
                          progress_);
  for (std::int64_t u = 1; u <= 10; ++u) {
    metrics.on_update(update(u, static_cast<int>(u % 2), u == 1 ? 0 : u == 7 ? 3 : 1));
    if (u % 4 == 0 || u == 10) metrics.on_snapshot({u, 2.0 * static_cast<double>(u), {}});
  }
  metrics.finish();

  const auto train = lines("train");  // every third, the last of each epoch, and the last of all
  std::vector<std::int64_t> updates;
  std::vector<double> losses;
  for (const auto& line : train) {
    updates.push_back(line["update"]);
    losses.push_back(line["train_loss"]);
    EXPECT_EQ(line["train_accuracy"], 0.4);
    EXPECT_EQ(line["train_top5"], 0.7);
    EXPECT_EQ(line["lr"], 0.5);
  }
  EXPECT_EQ(updates, (std::vector<std::int64_t>{3, 4, 6, 8, 9, 10}));
  EXPECT_EQ(losses, (std::vector<double>{2, 4, 5.5, 7.5, 9, 10}));  // means since the previous line
  EXPECT_EQ(train[3]["staleness_mean"], 2.0);                       // of updates 7 and 8
  EXPECT_EQ(train[3]["staleness_max"], 3);
  EXPECT_EQ(train[3]["epoch"], 2.0);
  EXPECT_EQ(train[3]["seconds"], 16.0);                         // of the events
  EXPECT_EQ(train[3]["images_per_second"], 20.0 / 4);           // updates 7 and 8, from 12 to 16 s
  EXPECT_EQ(train[0]["workers"], (std::vector<int>{1, 0, 1}));  // the order of arrival
  EXPECT_EQ(train[3]["workers"], (std::vector<int>{1, 0}));

  ASSERT_EQ(lines("evaluation").size(), 2U);
  EXPECT_EQ(lines("evaluation")[0]["update"], 4);
  EXPECT_EQ(lines("evaluation")[0]["images"], 4);
  EXPECT_EQ(lines("evaluation")[1]["update"], 10);  // the last is never skipped
  ASSERT_EQ(lines("evaluation left out").size(), 1U);
  EXPECT_EQ(lines("evaluation left out")[0]["update"], 8);
  EXPECT_NE(progress_.text().find("update 8: no evaluation"), std::string::npos);

  // Only the evaluations of updates 4 and 10 were made. The rows of all epochs are in order.
  std::ifstream epochs(folder_->path() / "epochs.csv");
  std::vector<std::string> rows;
  for (std::string row; std::getline(epochs, row);) rows.push_back(row);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[1], "1,4,8,0.5,2.5,0.4,0.7,2,0.25,0.5,0.75,1");
  EXPECT_EQ(rows[2], "2,8,16,0.5,6.5,0.4,0.7,,,,1.5,3");
  EXPECT_EQ(rows[3], "2.5,10,20,0.5,9.5,0.4,0.7,2,0.25,0.5,1,1");

  const RunSummary summary = metrics.summary();
  EXPECT_EQ(summary.updates, 10);
  EXPECT_EQ(summary.train_loss, 8.5);  // of updates 7 to 10: an epoch
  EXPECT_EQ(summary.train_top5, 0.7);
  EXPECT_EQ(summary.last_evaluation->update, 10);
  EXPECT_EQ(summary.seconds, 20.0);
  EXPECT_EQ(summary.images_per_second, 80.0 / 16);  // after the first update of each of two workers, at 4 s
  EXPECT_EQ(summary.staleness.histogram(), (std::vector<std::int64_t>{1, 8, 0, 1}));
}

// An evaluation without a finite loss does not replace the last one.
/// An optimizer of three weights.
struct SmallModel {
  SmallModel() { layout.add("weight", {3}, engine::Initializer::constant(1)); }

  engine::ParameterLayout layout;
  Exec exec;
  std::optional<engine::ParameterArena> arena;
  std::optional<engine::Updater> updater;

  engine::Updater& make() {
    arena.emplace(exec.device(), layout, engine::ParameterArena::Contents::state);
    arena->initialize(0);
    return updater.emplace(exec, *arena, engine::OptimizerOptions{});
  }
};

TEST_F(TrainingMetricsTest, ACheckpointIsDueByTimeOrUpdatesAndAtAnEarlyEnd) {
  SmallModel model;
  const engine::Updater& updater = model.make();
  const auto due = [&](std::optional<std::int64_t> every, std::int64_t update, double at,
                       std::optional<exchange::Ending> end = {}) {
    return CheckpointWriter(every, {}, updater, *folder_, progress_).due({.update = update, .at = at, .ending = end});
  };
  using Why = exchange::Ending::Why;
  EXPECT_FALSE(due({}, 5, 599));
  EXPECT_TRUE(due({}, 5, 600));
  EXPECT_FALSE(due(3, 2, 1e6));
  EXPECT_TRUE(due(3, 4, 0)) << "a pass may make several updates";
  EXPECT_FALSE(due(0, 5, 1e6));
  for (const auto why : {Why::interrupted, Why::deserted}) EXPECT_TRUE(due(3, 1, 0, exchange::Ending{why, 1}));
  for (const auto why : {Why::complete, Why::diverged}) EXPECT_FALSE(due(3, 1, 0, exchange::Ending{why, 1}));
  EXPECT_FALSE(due(3, 0, 0, exchange::Ending{Why::interrupted, 0})) << "nothing has been done";
  EXPECT_FALSE(due(0, 1, 0, exchange::Ending{Why::interrupted, 1}));
}

TEST_F(TrainingMetricsTest, AContinuedRunEvaluatesWhatHadNotBeenEvaluated) {
  SmallModel model;
  const engine::Updater& updater = model.make();
  const TrainingMetrics::Options options{.epochs = {.batches = 2}, .total_updates = 4, .log_every = 10};
  {
    CheckpointWriter checkpoints(2, Checkpoint{}, updater, *folder_, progress_);
    TrainingMetrics metrics(options, evaluations_, *folder_, progress_);
    metrics.save_to(checkpoints);
    for (const std::int64_t u : {1, 2}) metrics.on_update(update(u, 0, 0));
    metrics.on_snapshot({.update = 2, .at = 4, .state = model.arena->state()});  // is not finished
    metrics.on_rest({.update = 2, .at = 4, .batches = [] { return exchange::BatchProgress{.next = 2}; }});
  }
  const Checkpoint saved = Checkpoint::read(folder_->checkpoint());
  EXPECT_EQ(saved.update, 2);
  EXPECT_TRUE(lines("evaluation").empty());
  OneAtATime again;
  TrainingMetrics metrics(options, again, *folder_, progress_);
  metrics.resume(saved, model.arena->state());
  for (const std::int64_t u : {3, 4}) metrics.on_update(update(u, 0, 0));
  metrics.finish();
  ASSERT_EQ(lines("evaluation").size(), 1U);
  EXPECT_EQ(lines("evaluation")[0]["update"], 2);
  EXPECT_EQ(lines("evaluation")[0]["seconds"], 4.0);
  EXPECT_EQ(metrics.summary().updates, 4);
  EXPECT_EQ(metrics.summary().seconds, 4.0 + 8.0) << "those before and after";
  EXPECT_EQ(metrics.summary().train_loss, 3.5) << "of the last epoch";
  std::ifstream file(folder_->path() / "epochs.csv");
  std::string row;
  for (int i = 0; i < 2; ++i) std::getline(file, row);
  EXPECT_EQ(row, "1,2,4,0.5,1.5,0.4,0.7,2,0.25,0.5,0,0");
}

TEST_F(TrainingMetricsTest, LinesOfARunThatComputesAheadHaveThePublishLag) {
  for (const bool ahead : {false, true}) {
    TrainingMetrics metrics({.epochs = {4}, .total_updates = 4, .log_every = 3, .computes_ahead = ahead}, evaluations_,
                            *folder_, progress_);
    for (std::int64_t u = 1; u <= 4; ++u) {
      exchange::UpdateRecord record = update(u, 0, 5);
      record.publish_lag = u == 2 ? 4 : 1;
      metrics.on_update(record);
    }
  }
  const auto train = lines("train");
  ASSERT_EQ(train.size(), 4U);
  EXPECT_FALSE(train[0].contains("publish_lag_mean"));
  EXPECT_EQ(train[2]["publish_lag_mean"], 2.0);
  EXPECT_EQ(train[2]["publish_lag_max"], 4);
  EXPECT_EQ(train[3]["publish_lag_mean"], 1.0);
  EXPECT_EQ(train[3]["publish_lag_max"], 1);
}

TEST_F(TrainingMetricsTest, AContinuedRunCountsWorkersThatLeftAndBytesOfBothParts) {
  SmallModel model;
  const engine::Updater& updater = model.make();
  const TrainingMetrics::Options options{.epochs = {4}, .total_updates = 4, .roles = {.workers = 3}};
  Checkpoint saved;
  for (const std::int64_t u : {1, 2}) {
    CheckpointWriter checkpoints(1, Checkpoint{.update = u - 1, .copied_bytes = saved.copied_bytes}, updater, *folder_,
                                 progress_);
    TrainingMetrics metrics(options, evaluations_, *folder_, progress_);
    metrics.save_to(checkpoints);
    if (u == 2) metrics.resume(saved, model.arena->state());
    metrics.on_update(update(u, 0, 0));
    metrics.on_departure({static_cast<int>(u), "its process has ended"}, 3);
    metrics.on_rest(
        {.update = u, .at = 4, .batches = [] { return exchange::BatchProgress(); }, .copied_bytes = [] { return 50; }});
    saved = Checkpoint::read(folder_->checkpoint());
    EXPECT_EQ(saved.copied_bytes, 50 * u);
    EXPECT_EQ(metrics.summary().departed, u);
    EXPECT_EQ(metrics.departed_ranks().size(), 1U) << "of this part";
  }
}

TEST_F(TrainingMetricsTest, KeepsTheLastFiniteEvaluation) {
  TrainingMetrics metrics({.epochs = {4}, .total_updates = 3}, evaluations_, *folder_, progress_);
  evaluations_.finish();  // each evaluation is done at once
  for (std::int64_t u = 1; u <= 3; ++u) {
    evaluations_.loss = u == 2 ? 1.5 : std::numeric_limits<double>::quiet_NaN();
    metrics.on_update(update(u, 0, 0));
    metrics.on_snapshot({u, 0, {}});
  }
  metrics.finish();
  ASSERT_EQ(lines("evaluation").size(), 3U);
  EXPECT_TRUE(lines("evaluation")[2]["test_loss"].is_null());
  EXPECT_EQ(metrics.summary().last_evaluation->update, 2);
}

}  // namespace
}  // namespace apam::training
