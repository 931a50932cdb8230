// Both evaluators, on a net that is one linear layer: background evaluation gives the scores of inline evaluation.
#include "apam/training/evaluator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "apam/training/factories.h"
#include "apam/training/usage_error.h"
#include "engine/layers/layers.h"
#include "tests/support/throws.h"

namespace apam::training {
namespace {

class LinearNet : public nets::Net {
 public:
  LinearNet() : Net(4), linear_(layout_, "linear", 8 * 8 * 3, 4) {}
  engine::Var forward(const engine::Var& images) const override { return linear_(images); }

 private:
  engine::Linear linear_;
};

class EvaluatorTest : public testing::Test {
 protected:
  EvaluatorTest() : arena_(Device{}, net_.layout()) {
    data::DatasetOptions options{.name = "synthetic"};
    options.synthetic = {.shape = {8, 8, 3}, .classes = 4, .train_images = 8, .test_images = 37};
    dataset_ = data::open_dataset(options);
  }

  /// Weights of version `update`.
  ConstSpan<float> state(std::uint64_t update) const {
    arena_.initialize(update);
    return arena_.state();
  }

  std::shared_ptr<const data::Batches> batches() const { return evaluation_batches(dataset_, "test", 10); }

  LinearNet net_;
  engine::ParameterArena arena_;
  std::shared_ptr<const data::Dataset> dataset_;
};

using Need = Evaluator::Need;

TEST_F(EvaluatorTest, TheImagesAreThoseOfTheSplit) {
  EXPECT_EQ(evaluation_batches(dataset_, "test", 10)->images(), 37);
  EXPECT_EQ(evaluation_batches(dataset_, "train", 10)->images(), 8);
  EXPECT_EQ(evaluation_batches(dataset_, "train", 10)->options().order, data::Order::sequential);
  EXPECT_TRUE(support::throws<UsageError>({"--eval-split", "valid", "synthetic", "8", "37"},
                                          [&] { evaluation_batches(dataset_, "valid", 10); }));
}

TEST_F(EvaluatorTest, BackgroundAndInlineGiveTheSameScores) {
  ExecOptions options;
  options.kernels = KernelSelection::parse("native");  // `auto` may choose differently for more threads
  Exec exec(options);
  InlineEvaluator inline_evaluator(exec, net_, batches(), [] { return false; });
  BackgroundEvaluator background({.exec = options, .final_threads = 2}, net_, batches());
  std::map<std::int64_t, Scores> expected;
  std::vector<Evaluation> found;
  std::int64_t skipped = 0;
  for (std::int64_t update = 1; update <= 20; ++update) {
    EXPECT_TRUE(inline_evaluator.submit({update, 0.5, state(update)}, Need::required));
    const auto evaluations = inline_evaluator.collect();
    ASSERT_EQ(evaluations.size(), 1U);
    EXPECT_EQ(evaluations[0].update, update);
    EXPECT_EQ(evaluations[0].scores.images, 37);
    expected[update] = evaluations[0].scores;
    const auto need = update == 20 ? Need::required : Need::optional;
    if (!background.submit({update, 0.5, state(update)}, need)) ++skipped;
    zero(arena_.state());  // submit() has made a copy
    for (const auto& evaluation : background.collect()) found.push_back(evaluation);
  }
  background.finish();
  for (const auto& evaluation : background.collect()) found.push_back(evaluation);
  EXPECT_EQ(static_cast<std::int64_t>(found.size()) + skipped, 20);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.back().update, 20);
  for (const auto& evaluation : found) {
    EXPECT_EQ(evaluation.scores.loss, expected.at(evaluation.update).loss);
    EXPECT_EQ(evaluation.scores.accuracy, expected.at(evaluation.update).accuracy);
    EXPECT_EQ(evaluation.scores.top5, 1.0);  // of four classes
  }
  EXPECT_GT(inline_evaluator.seconds_blocked(), 0);
  EXPECT_EQ(background.seconds_blocked(), 0);
  EXPECT_FALSE(background.kernels().empty());
}

TEST_F(EvaluatorTest, DestructorAbandonsWhatIsQueued) {
  BackgroundEvaluator background({.exec = {}, .final_threads = 1}, net_, batches());
  for (int update = 1; update <= 3; ++update) EXPECT_TRUE(background.submit({update, 0, state(1)}, Need::optional));
}

// An abandoned evaluation ends at the next batch; finished ones stay.
TEST_F(EvaluatorTest, IsAbandonedOnRequest) {
  std::atomic<int> batches_left = 4 + 2;  // of 10 rows: one and a half evaluations
  const GiveUp give_up = [&] { return batches_left-- <= 0; };
  Exec exec(ExecOptions{});
  InlineEvaluator inline_evaluator(exec, net_, batches(), give_up);
  for (std::int64_t update = 1; update <= 3; ++update)
    EXPECT_TRUE(inline_evaluator.submit({update, 0, state(1)}, Need::required));
  inline_evaluator.finish();
  ASSERT_EQ(inline_evaluator.collect().size(), 1U);

  batches_left = 1000;  // also called while kernels are chosen
  BackgroundEvaluator background({.exec = {}, .final_threads = 1, .give_up = give_up}, net_, batches());
  batches_left = 4 + 2;
  for (std::int64_t update = 1; update <= 3; ++update) EXPECT_TRUE(background.submit({update, 0, state(1)}, Need::required));
  background.finish();
  const auto found = background.collect();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].update, 1);
}

TEST_F(EvaluatorTest, IsAbandonedBeforeKernelsAreChosen) {
  BackgroundEvaluator background({.exec = {}, .final_threads = 1, .give_up = [] { return true; }}, net_, batches());
  EXPECT_THROW(background.collect(), KernelError);
}

TEST_F(EvaluatorTest, ErrorsInTheBackgroundAreThrownByTheNextCall) {
  ExecOptions broken;
  broken.kernels = KernelSelection::parse("linear=unknown");  // unknown to all tables; detected at the first choice
  BackgroundEvaluator background({.exec = broken, .final_threads = 1}, net_, batches());
  EXPECT_THROW(background.collect(), KernelError);
}

}  // namespace
}  // namespace apam::training
