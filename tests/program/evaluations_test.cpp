// Evaluations beside a training, on a net that is nothing but a linear layer: what they say is what one on the spot says.
#include "apam/commands/evaluations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "apam/commands/setup.h"
#include "engine/layers/layers.h"

namespace apam::commands {
namespace {

class LinearNet : public nets::Net {
 public:
  LinearNet() : Net(4), linear_(layout_, "linear", 8 * 8 * 3, 4) {}
  engine::Var forward(const engine::Var& images) const override { return linear_(images); }

 private:
  engine::Linear linear_;
};

class EvaluationsTest : public testing::Test {
 protected:
  EvaluationsTest() : arena_(Device{}, net_.layout()) {
    data::DatasetOptions options{.name = "synthetic"};
    options.synthetic = {.shape = {8, 8, 3}, .classes = 4, .train_images = 8, .test_images = 37};
    dataset_ = data::open_dataset(options);
  }

  /// Weights of version `update`.
  In state(std::uint64_t update) const {
    arena_.initialize(update);
    return arena_.state();
  }

  std::shared_ptr<const data::Batches> batches() const { return test_batches(dataset_, 10); }

  LinearNet net_;
  engine::ParameterArena arena_;
  std::shared_ptr<const data::Dataset> dataset_;
};

using Need = Evaluations::Need;

TEST_F(EvaluationsTest, BesideTheTrainingSaysWhatOneOnTheSpotSays) {
  ExecOptions options;
  options.kernels = KernelSelection::parse("native");  // `auto` may choose otherwise for more threads
  Exec exec(options);
  EvaluationsOnTheSpot here(exec, net_, batches(), [] { return false; });
  EvaluationsBeside beside({.exec = options, .final_threads = 2}, net_, batches());
  std::map<std::int64_t, Scores> expected;
  std::vector<Evaluation> found;
  std::int64_t left_out = 0;
  for (std::int64_t update = 1; update <= 20; ++update) {
    EXPECT_TRUE(here.submit(update, 0.5, state(update), Need::must_be_done));
    const auto evaluations = here.collect();
    ASSERT_EQ(evaluations.size(), 1U);
    EXPECT_EQ(evaluations[0].update, update);
    EXPECT_EQ(evaluations[0].scores.images, 37);
    expected[update] = evaluations[0].scores;
    const auto need = update == 20 ? Need::must_be_done : Need::may_be_left_out;
    if (!beside.submit(update, 0.5, state(update), need)) ++left_out;
    zero(arena_.state());  // submit() has its own copy
    for (const auto& evaluation : beside.collect()) found.push_back(evaluation);
  }
  beside.finish();
  for (const auto& evaluation : beside.collect()) found.push_back(evaluation);
  EXPECT_EQ(static_cast<std::int64_t>(found.size()) + left_out, 20);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.back().update, 20);
  for (const auto& evaluation : found) {
    EXPECT_EQ(evaluation.scores.loss, expected.at(evaluation.update).loss);
    EXPECT_EQ(evaluation.scores.accuracy, expected.at(evaluation.update).accuracy);
    EXPECT_EQ(evaluation.scores.top5, 1.0);  // of four classes
  }
  EXPECT_GT(here.seconds_blocked(), 0);
  EXPECT_EQ(beside.seconds_blocked(), 0);
  EXPECT_FALSE(beside.kernels().empty());
}

TEST_F(EvaluationsTest, EndsWithoutWaitingForWhatIsNotWanted) {
  EvaluationsBeside beside({.exec = {}, .final_threads = 1}, net_, batches());
  for (int update = 1; update <= 3; ++update) EXPECT_TRUE(beside.submit(update, 0, state(1), Need::may_be_left_out));
}

// A signal ends an evaluation at the next batch; what was finished before stays.
TEST_F(EvaluationsTest, AreGivenUpWhenAsked) {
  std::atomic<int> batches_left = 4 + 2;  // of 10 rows: one evaluation, and a half
  const GiveUp give_up = [&] { return batches_left-- <= 0; };
  Exec exec(ExecOptions{});
  EvaluationsOnTheSpot here(exec, net_, batches(), give_up);
  for (std::int64_t update = 1; update <= 3; ++update) EXPECT_TRUE(here.submit(update, 0, state(1), Need::must_be_done));
  here.finish();
  ASSERT_EQ(here.collect().size(), 1U);

  batches_left = 1000;  // it is asked while kernels are chosen, too
  EvaluationsBeside beside({.exec = {}, .final_threads = 1, .give_up = give_up}, net_, batches());
  batches_left = 4 + 2;
  for (std::int64_t update = 1; update <= 3; ++update) EXPECT_TRUE(beside.submit(update, 0, state(1), Need::must_be_done));
  beside.finish();
  const auto found = beside.collect();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].update, 1);
}

TEST_F(EvaluationsTest, AreGivenUpBeforeTheirKernelsAreChosen) {
  EvaluationsBeside beside({.exec = {}, .final_threads = 1, .give_up = [] { return true; }}, net_, batches());
  EXPECT_THROW(beside.collect(), KernelError);
}

TEST_F(EvaluationsTest, WhatGoesWrongBesideIsThrownByTheNextCall) {
  ExecOptions broken;
  broken.kernels = KernelSelection::parse("linear=nobody");  // unknown to all tables; found out when first asked
  EvaluationsBeside beside({.exec = broken, .final_threads = 1}, net_, batches());
  EXPECT_THROW(beside.collect(), KernelError);
}

}  // namespace
}  // namespace apam::commands
