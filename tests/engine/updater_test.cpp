// Updates: what they change, and what they find in the state.
#include "engine/optim/updater.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/engine/model.h"

namespace apam::engine {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

ParameterLayout small_layout() {
  ParameterLayout layout;
  layout.add("conv.weight", {3, 1, 1, 3}, Initializer::constant(1));
  layout.add("bn.weight", {5}, Initializer::constant(1));
  layout.add_statistics("bn", 5);
  layout.add("linear.bias", {2}, Initializer::constant(0));
  return layout;
}

class Updates : public testing::Test {
 protected:
  void apply() { updater.apply(model.arena.outgoing()); }

  Model model{small_layout()};
  Updater updater{model.exec, model.arena, {.learning_rate = 0.5}};
  const ParameterLayout& layout = model.arena.layout();
};

TEST_F(Updates, find_nothing_in_finite_numbers) {
  EXPECT_FALSE(updater.non_finite().has_value());
  apply();
  EXPECT_FALSE(updater.non_finite().has_value());
  EXPECT_FALSE(updater.non_finite(Updater::Examine::all).has_value());
}

TEST_F(Updates, name_the_first_tensor_and_the_update_and_keep_to_it) {
  apply();
  model.arena.gradient({2}).data.host()[1] = kNan;
  apply();
  ASSERT_TRUE(updater.non_finite().has_value());
  EXPECT_EQ(updater.non_finite()->update, 2);
  EXPECT_EQ(updater.non_finite()->tensor, "linear.bias");
  model.arena.gradient({0}).data.host()[0] = kNan;
  apply();
  EXPECT_EQ(updater.non_finite()->update, 2);
  EXPECT_EQ(updater.non_finite()->tensor, "linear.bias");
}

TEST_F(Updates, examine_running_statistics_after_weights) {
  model.arena.batch({0}).variance.host()[4] = kNan;
  apply();
  EXPECT_EQ(updater.non_finite()->tensor, "bn.running_var");
  EXPECT_EQ(updater.non_finite()->element, layout.weights_size() + layout.statistics()[0].variance_offset + 4);

  Updater other(model.exec, model.arena, {});
  model.arena.batch({0}).mean.host()[0] = kNan;
  model.arena.gradient({1}).data.host()[0] = std::numeric_limits<float>::infinity();
  other.apply(model.arena.outgoing());
  EXPECT_EQ(other.non_finite()->tensor, "bn.weight");
}

TEST_F(Updates, examine_the_padding_between_tensors) {
  model.arena.gradients().host()[layout.parameters()[0].shape.size()] = kNan;
  apply();
  EXPECT_EQ(updater.non_finite()->tensor, "padding between tensors");
  EXPECT_EQ(updater.non_finite()->element, layout.parameters()[0].shape.size());
}

/// Contributions that differ, each (state).
std::vector<std::vector<float>> three_contributions(std::size_t size) {
  std::vector<std::vector<float>> all(3, std::vector<float>(size));
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < size; ++j) all[i][j] = 0.1F * static_cast<float>((i + 1) * (j % 7 + 1)) - 0.3F;
  }
  return all;
}

TEST_F(Updates, of_several_contributions_are_single_updates_into_another_state) {
  const auto contributions = three_contributions(model.arena.state().size());
  std::vector<ConstSpan<float>> together;
  for (const auto& one : contributions) together.emplace_back(std::span(one));
  const std::vector<float> start(model.arena.state().host().begin(), model.arena.state().host().end());
  const Buffer next({}, model.arena.state().size_bytes());
  updater.apply_each(together, model.arena.state(), next.as<float>());
  EXPECT_EQ(updater.version(), 3);
  EXPECT_TRUE(std::ranges::equal(model.arena.state().host(), start)) << "the state that was read";

  Updater single(model.exec, model.arena, {.learning_rate = 0.5});
  for (const auto& one : together) single.apply(one);
  EXPECT_TRUE(std::ranges::equal(model.arena.state().host(), next.as<float>().host()));
}

TEST_F(Updates, take_factors_of_the_learning_rate) {
  const auto contributions = three_contributions(model.arena.state().size());
  const std::vector<ConstSpan<float>> one{ConstSpan<float>(std::span(contributions[0]))};
  const std::vector<double> half{0.5}, none{1e-60}, two{1, 1};
  const Buffer next({}, model.arena.state().size_bytes());
  EXPECT_THROW(updater.apply_each(one, model.arena.state(), next.as<float>(), none), InputError) << "a rate of 0 in float32";
  EXPECT_THROW(updater.apply_each(one, model.arena.state(), next.as<float>(), two), InputError);
  EXPECT_EQ(updater.version(), 0) << "a refused update is not counted";
  updater.apply_each(one, model.arena.state(), next.as<float>(), half);
  Updater slower(model.exec, model.arena, {.learning_rate = 0.25});
  slower.apply(one[0]);
  EXPECT_TRUE(std::ranges::equal(model.arena.state().host(), next.as<float>().host()));
}

TEST(TensorAt, names_every_element_of_the_state) {
  const ParameterLayout layout = small_layout();
  EXPECT_EQ(tensor_at(layout, 0), "conv.weight");
  EXPECT_EQ(tensor_at(layout, 8), "conv.weight");
  EXPECT_EQ(tensor_at(layout, 9), "padding between tensors");
  EXPECT_EQ(tensor_at(layout, layout.parameters()[1].offset), "bn.weight");
  EXPECT_EQ(tensor_at(layout, layout.parameters()[2].offset + 1), "linear.bias");
  const std::size_t statistics = layout.weights_size();
  EXPECT_EQ(tensor_at(layout, statistics - 1), "padding between tensors");
  EXPECT_EQ(tensor_at(layout, statistics), "bn.running_mean");
  EXPECT_EQ(tensor_at(layout, statistics + layout.statistics()[0].variance_offset + 4), "bn.running_var");
  EXPECT_EQ(tensor_at(layout, statistics + layout.statistics()[0].variance_offset + 5), "padding between tensors");
}

}  // namespace
}  // namespace apam::engine
