// Population statistics of batch norm, computed on training images before an evaluation.
#include "apam/training/calibration.h"

#include <gtest/gtest.h>

#include "apam/training/evaluator.h"
#include "apam/training/factories.h"
#include "apam/training/net_gradient_source.h"
#include "engine/layers/layers.h"
#include "tests/support/throws.h"

namespace apam::training {
namespace {

/// Two batch norms, so that the second one depends on the batch statistics of the first.
class SmallNet : public nets::Net {
 public:
  SmallNet() : Net(4), first_(layout_, "bn1", 3), second_(layout_, "bn2", 3), linear_(layout_, "linear", 8 * 8 * 3, 4) {}
  engine::Var forward(const engine::Var& images) const override { return linear_(second_.relu(first_.relu(images))); }

 private:
  engine::BatchNorm first_, second_;
  engine::Linear linear_;
};

class CalibrationTest : public testing::Test {
 protected:
  CalibrationTest() : exec_(options()), arena_(Device{}, net_.layout()) {
    data::DatasetOptions synthetic{.name = "synthetic"};
    synthetic.synthetic = {.shape = {8, 8, 3}, .classes = 4, .train_images = 23, .test_images = 11};
    dataset_ = data::open_dataset(synthetic);
    arena_.initialize(5);
  }

  static ExecOptions options() {
    ExecOptions options;
    options.kernels = KernelSelection::parse("native");
    return options;
  }

  std::shared_ptr<const data::Batches> training_batches() const {
    return std::make_shared<const data::Batches>(
        dataset_, data::BatchOptions{.batch = 5, .augmentation = data::kNoAugmentation, .seed = 9});
  }
  EvaluationImages images(std::int64_t batches) const {
    return {evaluation_batches(dataset_, "test", 4), training_batches(), batches};
  }

  /// The mean of the batch statistics that training steps leave, in double.
  std::vector<double> expected(std::int64_t batches) const {
    Exec exec(options());
    const engine::ParameterArena arena(Device{}, net_.layout());
    copy(ConstSpan<float>(arena_.state()), arena.state());
    NetGradientSource source(exec, net_, arena, training_batches(), {.threads = 0});
    std::vector<double> mean(net_.layout().statistics_size(), 0.0);
    for (std::int64_t batch = 0; batch < batches; ++batch) {
      source.compute({batch, 0, 1});
      for (std::size_t i = 0; i < mean.size(); ++i) {
        mean[i] += static_cast<double>(arena.batch_statistics().host()[i]) / static_cast<double>(batches);
      }
    }
    return mean;
  }

  SmallNet net_;
  Exec exec_;
  engine::ParameterArena arena_;
  std::shared_ptr<const data::Dataset> dataset_;
};

TEST_F(CalibrationTest, IsTheMeanOfTheBatchStatisticsOfTraining) {
  for (const std::int64_t batches : {1, 3, 4}) {
    SCOPED_TRACE(batches);
    Calibration calibration(exec_, net_, arena_, images(batches));
    arena_.initialize(5);
    calibration.warm_up();
    EXPECT_TRUE(calibration.run([] { return false; }));
    const auto mean = expected(batches);
    const auto running = arena_.running_statistics().host();
    ASSERT_EQ(running.size(), mean.size());
    // Rounded once to float; the sums in double are in another order.
    for (std::size_t i = 0; i < mean.size(); ++i) EXPECT_NEAR(running[i], mean[i], std::abs(mean[i]) * 0x1p-23) << i;
    const auto first = arena_.running(engine::StatisticsId{0});
    EXPECT_GT(first.variance.host()[0], 0.0F);
    EXPECT_NE(first.variance.host()[0], 1.0F) << "the initial value";
  }
}

TEST_F(CalibrationTest, EvaluationsUseIt) {
  Scorer plain(exec_, net_, evaluation_batches(dataset_, "test", 4));
  Scorer calibrated(exec_, net_, images(3));
  const auto never = [] { return false; };
  const Scores running = *plain.score(arena_.state(), never);
  EXPECT_TRUE(running.statistics.empty());
  const Scores scores = *calibrated.score(arena_.state(), never);
  EXPECT_NE(scores.loss, running.loss);
  const std::vector<double> mean = expected(3);
  ASSERT_EQ(scores.statistics.size(), mean.size());
  for (std::size_t i = 0; i < mean.size(); ++i)
    EXPECT_EQ(scores.statistics[i], calibrated.arena().running_statistics().host()[i]);
  // The same scores without calibration, from the statistics that it has found.
  copy(ConstSpan<float>(std::span(scores.statistics)), arena_.running_statistics());
  EXPECT_EQ(plain.score(arena_.state(), never)->loss, scores.loss);
  EXPECT_EQ(plain.score(arena_.state(), never)->accuracy, scores.accuracy);
}

TEST_F(CalibrationTest, BothEvaluatorsAreCalibrated) {
  InlineEvaluator inline_evaluator(exec_, net_, images(2), [] { return false; });
  BackgroundEvaluator background({.exec = options(), .final_threads = 1}, net_, images(2));
  for (Evaluator* evaluator : std::initializer_list<Evaluator*>{&inline_evaluator, &background}) {
    EXPECT_TRUE(evaluator->submit({1, 0.5, arena_.state()}, Evaluator::Need::required));
    evaluator->finish();
  }
  const auto expected = inline_evaluator.collect(), found = background.collect();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found[0].scores.statistics.empty());
  EXPECT_EQ(found[0].scores.statistics, expected.at(0).scores.statistics);
  EXPECT_EQ(found[0].scores.loss, expected.at(0).scores.loss);
}

TEST_F(CalibrationTest, GivesUpBetweenBatchesAndChangesNothing) {
  Calibration calibration(exec_, net_, arena_, images(4));
  int calls = 0;
  EXPECT_FALSE(calibration.run([&] { return ++calls == 3; }));
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(arena_.running(engine::StatisticsId{0}).mean.host()[0], 0.0F);
  EXPECT_EQ(arena_.running(engine::StatisticsId{0}).variance.host()[0], 1.0F);
}

TEST_F(CalibrationTest, NeedsWholeBatches) {
  for (const std::int64_t batches : {0, 5, 6}) {  // of 23 images, the fifth batch has 3
    EXPECT_TRUE(
        support::throws<InputError>({"calibration", "5 of 23"}, [&] { Calibration(exec_, net_, arena_, images(batches)); }));
  }
}

}  // namespace
}  // namespace apam::training
