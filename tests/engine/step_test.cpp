// Training and evaluation steps: slots, scores, order of the work, errors.
#include "engine/step.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "engine/layers/layers.h"
#include "tests/engine/model.h"

namespace apam::engine {
namespace {

using Values = std::vector<float>;

constexpr int kStepRows = 3, kClasses = 5;

/// One linear layer on images of 2 x 2 x 1, with its gradients from a tape for comparison.
class Step : public testing::Test {
 protected:
  Step() { model.arena.initialize(3); }

  Var forward(const Var& x) const { return linear(x); }
  TrainingStep training() {
    return {model.exec, model.arena, [this](const Var& x) { return forward(x); }, {kStepRows, 2, 2, 1}, kClasses};
  }
  EvaluationStep evaluation() {
    return {model.exec, model.arena, [this](const Var& x) { return forward(x); }, {kStepRows, 2, 2, 1}, kClasses};
  }
  /// Loss and gradients of the first `rows` images without a step.
  BatchScore expect(int rows, float scale, Values& gradients) {
    Values pixels(images.begin(), images.begin() + rows * 4);
    model.tape.begin(Mode::training);
    const auto first = std::span<const std::int32_t>(labels).first(static_cast<std::size_t>(rows));
    const BatchScore score = model.loss(forward(model.tape.input(tensor_over({rows, 2, 2, 1}, pixels))), first, scale);
    model.tape.backward();
    gradients = values_of(model.arena.gradients());
    zero(model.arena.outgoing());
    return score;
  }
  ConstSpan<float> first_images(int rows) const { return ConstSpan<float>(images.data(), static_cast<std::size_t>(rows) * 4); }
  Labels first_labels(int rows) const { return Labels(labels.data(), static_cast<std::size_t>(rows)); }

  ParameterLayout layout;
  Linear linear{layout, "linear", 4, kClasses};
  Model model{layout};
  Values images = normals(kStepRows * 4, 1);
  std::array<std::int32_t, kStepRows> labels{4, 0, 2};
};

TEST_F(Step, computes_the_gradients_of_the_loaded_rows) {
  TrainingStep step = training();
  for (const int rows : {3, 1, 2}) {
    Values expected;
    const BatchScore score = expect(rows, 0.25F, expected);
    step.load(first_images(rows), first_labels(rows), 0.25F);
    const BatchScore got = step.score(step.compute_gradients());
    EXPECT_EQ(values_of(model.arena.gradients()), expected) << rows;
    EXPECT_EQ(got.loss_sum, score.loss_sum);
    EXPECT_EQ(got.top1, score.top1);
    EXPECT_EQ(got.rows, rows);
  }
}

TEST_F(Step, on_borrowed_memory_computes_the_same_gradients) {
  Values expected;
  expect(kStepRows, 0.25F, expected);
  ParameterArena borrowing(Device{}, layout, ParameterArena::Contents::none);
  TrainingStep step(
      model.exec, borrowing, [this](const Var& x) { return forward(x); }, {kStepRows, 2, 2, 1}, kClasses);
  const std::size_t bytes = model.arena.state().size_bytes();
  const Buffer version({}, bytes), slot({}, bytes);
  copy(model.arena.weights(), version.as<float>());
  zero(model.arena.weights());
  borrowing.use_outgoing(slot.as<float>());
  borrowing.read_weights_from(version.as<float>());
  step.load(first_images(kStepRows), first_labels(kStepRows), 0.25F);
  step.compute_gradients();
  EXPECT_EQ(values_of(slot.as<float>()), expected) << "padding included";

  const Buffer zeros({}, bytes);  // another version
  zero(zeros.as<float>());
  borrowing.read_weights_from(zeros.as<float>());
  step.compute_gradients();
  EXPECT_NE(values_of(slot.as<float>()), expected);
}

TEST_F(Step, computes_again_what_is_loaded) {
  TrainingStep step = training();
  step.load(first_images(2), first_labels(2), 1.0F);
  step.compute_gradients();
  const Values once = values_of(model.arena.gradients());
  step.compute_gradients();
  EXPECT_EQ(values_of(model.arena.gradients()), once);
}

TEST_F(Step, updates_by_the_mean_gradient) {
  TrainingStep step = training();
  Updater updater(model.exec, model.arena, {.rule = kernels::OptimizerStep::Rule::sgd, .learning_rate = 0.5});
  Values gradients;
  expect(kStepRows, 1.0F / kStepRows, gradients);
  const Values before = values_of(model.arena.weights());
  const BatchScore score = step.score(step.run(first_images(kStepRows), first_labels(kStepRows), updater));
  const Values after = values_of(model.arena.weights());
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i], std::fma(-0.5F, gradients[i], before[i])) << i;
  EXPECT_EQ(updater.version(), 1);
  EXPECT_EQ(score.mean_loss(), score.loss_sum / kStepRows);
}

TEST_F(Step, keeps_the_scores_of_the_latest_two) {
  TrainingStep step = training();
  const auto run = [&](int rows) {
    step.load(first_images(rows), first_labels(rows), 1.0F);
    return step.compute_gradients();
  };
  const PendingScore first = run(1), second = run(2);
  EXPECT_EQ(step.score(first).rows, 1) << "while the second may still run";
  const double loss = step.score(second).loss_sum;
  const PendingScore third = run(3);
  EXPECT_EQ(step.score(second).loss_sum, loss);
  EXPECT_GT(step.score(third).loss_sum, 0);
  EXPECT_TRUE(throws<KernelError>({"step 1", "step 3", "2"}, [&] { step.score(first); }));
  EXPECT_THROW(step.score({}), KernelError) << "no step has run";
}

TEST_F(Step, reports_each_parameter_once) {
  TrainingStep step = training();
  std::vector<int> ready;
  step.on_gradient_ready([&](ParameterId id) { ready.push_back(id.index); });
  step.load(first_images(1), first_labels(1), 1.0F);
  step.compute_gradients();
  std::sort(ready.begin(), ready.end());
  EXPECT_EQ(ready, (std::vector<int>{0, 1}));
}

TEST_F(Step, after_warm_up_runs_on_a_frozen_exec) {
  TrainingStep step = training();
  Updater updater(model.exec, model.arena, {});
  for (const int rows : {1, kStepRows}) step.warm_up(rows);
  updater.choose_kernels();
  EXPECT_EQ(values_of(model.arena.outgoing()), Values(model.arena.outgoing().size()));
  model.exec.freeze();
  for (const int rows : {kStepRows, 1}) step.run(first_images(rows), first_labels(rows), updater);
  EXPECT_TRUE(throws<KernelError>({"frozen"}, [&] { step.run(first_images(2), first_labels(2), updater); }));
}

TEST_F(Step, evaluates_without_gradients) {
  EvaluationStep step = evaluation();
  Values unused;
  const BatchScore expected = expect(2, 1.0F, unused);
  const BatchScore score = step.score(step.run(first_images(2), first_labels(2)));
  EXPECT_EQ(score.loss_sum, expected.loss_sum);
  EXPECT_EQ(score.rows, 2);
  EXPECT_EQ(values_of(model.arena.outgoing()), Values(model.arena.outgoing().size()));
}

TEST_F(Step, rejects_other_mini_batches) {
  TrainingStep step = training();
  const std::vector<std::int32_t> many(kStepRows + 1);
  const Values pixels((kStepRows + 1) * 4);
  const auto load = [&](std::span<const float> x, std::span<const std::int32_t> y) { step.load(x, y, 1.0F); };
  EXPECT_TRUE(throws<ShapeError>({"step", "4 images", "1 to 3"}, [&] { load(pixels, many); }));
  EXPECT_TRUE(throws<ShapeError>({"step", "0 images", "1 to 3"}, [&] { load({}, {}); }));
  EXPECT_TRUE(throws<ShapeError>({"step", "3 labels", "16", "4 per image"}, [&] { load(pixels, labels); }));
}

TEST_F(Step, needs_a_mini_batch) {
  TrainingStep step = training();
  EXPECT_TRUE(throws<KernelError>({"step", "1 to 3", "0"}, [&] { step.compute_gradients(); }));
}

TEST_F(Step, rejects_a_net_with_other_classes) {
  TrainingStep step(
      model.exec, model.arena, [this](const Var& x) { return forward(x); }, {kStepRows, 2, 2, 1}, kClasses + 1);
  step.load(first_images(2), first_labels(2), 1.0F);
  EXPECT_TRUE(throws<ShapeError>({"step", "(2, 5)", "6 classes"}, [&] { step.compute_gradients(); }));
}

TEST_F(Step, rejects_labels_out_of_range) {
  TrainingStep step = training();
  const auto load = [&](std::int32_t label) {
    const std::vector<std::int32_t> wrong{0, label};
    step.load(first_images(2), std::span(wrong), 1.0F);
  };
  EXPECT_TRUE(throws<InputError>({"step", "label 5", "0 .. 4"}, [&] { load(5); }));
  EXPECT_TRUE(throws<InputError>({"step", "label -1", "0 .. 4"}, [&] { load(-1); }));
}

TEST_F(Step, rejects_impossible_sizes) {
  const auto make = [&](const Shape& shape, int classes) {
    TrainingStep(
        model.exec, model.arena, [this](const Var& x) { return forward(x); }, shape, classes);
  };
  EXPECT_TRUE(throws<ShapeError>({"step", "(N, H, W, C)", "(3, 4)"}, [&] { make({3, 4}, kClasses); }));
  EXPECT_TRUE(throws<ShapeError>({"step", "(N, H, W, C)", "(0, 2, 2, 1)"}, [&] { make({0, 2, 2, 1}, kClasses); }));
  EXPECT_TRUE(throws<InputError>({"step", "class", "0"}, [&] { make({3, 2, 2, 1}, 0); }));
}

}  // namespace
}  // namespace apam::engine
