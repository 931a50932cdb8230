// Updates: what they change, and what they find in the state.
#include "engine/optim/updater.h"

#include <gtest/gtest.h>

#include <limits>

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
