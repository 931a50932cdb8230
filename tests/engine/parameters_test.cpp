// The flat memory of a model: offsets, alignment, initial values.
#include "engine/parameters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "tests/engine/model.h"

namespace apam::engine {
namespace {

constexpr std::size_t kLine = 16;  // floats: 64 bytes

ParameterLayout three_parameters() {
  ParameterLayout layout;
  layout.add("a", {3, 3, 3, 5}, Initializer::uniform(0.25F));
  layout.add("b", {17}, Initializer::constant(2.0F));
  layout.add("c", {1000, 20}, Initializer::normal(0.5F));
  return layout;
}

TEST(ParameterLayout, parameters_have_separate_aligned_windows) {
  const ParameterLayout layout = three_parameters();
  std::size_t end = 0;
  for (const auto& parameter : layout.parameters()) {
    EXPECT_EQ(parameter.offset % kLine, 0U) << parameter.name;
    EXPECT_GE(parameter.offset, end) << parameter.name;
    EXPECT_LT(parameter.offset - end, kLine) << parameter.name << ": more padding than needed";
    end = parameter.offset + parameter.shape.size();
  }
  EXPECT_GE(layout.weights_size(), end);
  EXPECT_EQ(layout.weights_size() % kLine, 0U);
  EXPECT_EQ(layout.parameter_count(), 135U + 17U + 20000U);
}

TEST(ParameterLayout, statistics_have_separate_aligned_windows) {
  ParameterLayout layout;
  layout.add("bn1.weight", {5}, Initializer::constant(1.0F));
  const auto first = layout.add_statistics("bn1", 5);
  const auto second = layout.add_statistics("bn2", 16);
  EXPECT_EQ(layout[first].mean_offset, 0U);
  EXPECT_EQ(layout[first].variance_offset, kLine);
  EXPECT_EQ(layout[second].mean_offset, 2 * kLine);
  EXPECT_EQ(layout[second].variance_offset, 3 * kLine);
  EXPECT_EQ(layout.statistics_size(), 4 * kLine);
  EXPECT_EQ(layout[second].parameters_before, 1U);
}

TEST(ParameterLayout, rejects_duplicate_names) {
  ParameterLayout layout = three_parameters();
  EXPECT_TRUE(throws<InputError>({"parameters", "b"}, [&] { layout.add("b", {1}, {}); }));
  layout.add_statistics("bn", 4);
  EXPECT_TRUE(throws<InputError>({"statistics", "bn"}, [&] { layout.add_statistics("bn", 4); }));
}

TEST(ParameterArena, windows_are_views_of_the_flat_memory) {
  ParameterLayout layout = three_parameters();
  const auto statistics = layout.add_statistics("bn", 7);
  const ParameterArena arena(Device{}, layout);
  EXPECT_EQ(arena.state().size(), layout.weights_size() + layout.statistics_size());
  EXPECT_EQ(arena.outgoing().size(), arena.state().size());
  EXPECT_EQ(arena.weight({2}).data.data(), arena.state().data() + layout.parameters()[2].offset);
  EXPECT_EQ(arena.gradient({2}).data.data(), arena.outgoing().data() + layout.parameters()[2].offset);
  EXPECT_EQ(arena.weight({0}).shape, (Shape{3, 3, 3, 5}));
  EXPECT_EQ(arena.running(statistics).mean.data(), arena.state().data() + layout.weights_size());
  EXPECT_EQ(arena.batch(statistics).variance.data(), arena.outgoing().data() + layout.weights_size() + kLine);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.weight({i}).data.data()) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.gradient({i}).data.data()) % 64, 0U);
  }
}

TEST(ParameterArena, of_state_only_has_no_outgoing_memory) {
  const ParameterArena arena(Device{}, three_parameters(), ParameterArena::Contents::state);
  EXPECT_TRUE(arena.outgoing().empty());
  EXPECT_EQ(arena.weights().size(), arena.layout().weights_size());
}

TEST(ParameterArena, starts_with_zeros_and_unit_variances) {
  ParameterLayout layout = three_parameters();
  const auto statistics = layout.add_statistics("bn", 7);
  const ParameterArena arena(Device{}, layout);
  EXPECT_EQ(values_of(arena.weights()), std::vector<float>(layout.weights_size()));
  EXPECT_EQ(values_of(arena.outgoing()), std::vector<float>(arena.outgoing().size()));
  EXPECT_EQ(values_of(arena.running(statistics).mean), std::vector<float>(7));
  EXPECT_EQ(values_of(arena.running(statistics).variance), std::vector<float>(7, 1.0F));
}

TEST(ParameterArena, draws_each_parameter_from_its_distribution) {
  const ParameterArena arena(Device{}, three_parameters());
  arena.initialize(3);
  double sum = 0;
  for (const float value : arena.weight({0}).data.host()) {
    EXPECT_GE(value, -0.25F);
    EXPECT_LT(value, 0.25F);
    sum += value;
  }
  EXPECT_NEAR(sum / 135, 0.0, 5 * 0.25 / std::sqrt(3.0 * 135));  // five standard errors
  EXPECT_EQ(values_of(arena.weight({1}).data), std::vector<float>(17, 2.0F));
  sum = 0;
  double squares = 0;
  for (const float value : arena.weight({2}).data.host()) {
    sum += value;
    squares += double{value} * value;
  }
  EXPECT_NEAR(sum / 20000, 0.0, 5 * 0.5 / std::sqrt(20000.0));
  EXPECT_NEAR(squares / 20000, 0.25, 5 * 0.25 * std::sqrt(2.0 / 20000));
}

TEST(ParameterArena, initialize_leaves_the_padding_zero) {
  const ParameterArena arena(Device{}, three_parameters());
  arena.initialize(3);
  const auto weights = arena.weights().host();
  for (std::size_t i = 135; i < arena.layout().parameters()[1].offset; ++i) EXPECT_EQ(weights[i], 0.0F) << i;
}

TEST(ParameterArena, initial_values_depend_only_on_seed_and_index) {
  const ParameterArena first(Device{}, three_parameters());
  const ParameterArena second(Device{}, three_parameters());
  first.initialize(3);
  second.initialize(3);
  EXPECT_EQ(values_of(first.state()), values_of(second.state()));
  second.initialize(4);
  EXPECT_NE(values_of(first.weight({0}).data), values_of(second.weight({0}).data));

  ParameterLayout shorter;  // parameters that follow make no difference
  shorter.add("a", {3, 3, 3, 5}, Initializer::uniform(0.25F));
  const ParameterArena third(Device{}, shorter);
  third.initialize(3);
  EXPECT_EQ(values_of(first.weight({0}).data), values_of(third.weight({0}).data));
}

TEST(ParameterArena, of_nothing_has_only_what_it_borrows) {
  const ParameterLayout layout = three_parameters();
  ParameterArena arena(Device{}, layout, ParameterArena::Contents::none);
  EXPECT_TRUE(arena.state().empty());
  EXPECT_TRUE(arena.outgoing().empty());
  EXPECT_TRUE(arena.weights_read().empty());
  EXPECT_TRUE(throws<ShapeError>({"subspan"}, [&] { arena.weight_read({0}); }));
  const Buffer weights({}, layout.weights_size() * sizeof(float)), outgoing({}, layout.weights_size() * sizeof(float));
  arena.use_outgoing(outgoing.as<float>());
  arena.read_weights_from(weights.as<float>());
  EXPECT_EQ(arena.gradient({2}).data.data(), outgoing.as<float>().data() + layout.parameters()[2].offset);
  EXPECT_EQ(arena.weight_read({2}).data.data(), weights.as<float>().data() + layout.parameters()[2].offset);
  EXPECT_EQ(arena.weight_read({2}).shape, (Shape{1000, 20}));
}

TEST(ParameterArena, writes_the_contribution_where_it_is_told) {
  ParameterLayout layout = three_parameters();
  const auto statistics = layout.add_statistics("bn", 7);
  ParameterArena arena(Device{}, layout);
  const Buffer memory({}, arena.state().size_bytes());
  const Span<float> slot = memory.as<float>();
  for (float& value : slot.host()) value = 5.0F;
  arena.use_outgoing(slot);
  EXPECT_EQ(arena.outgoing().data(), slot.data());
  EXPECT_EQ(arena.batch(statistics).mean.data(), slot.data() + layout.weights_size());
  EXPECT_EQ(values_of(slot), std::vector<float>(slot.size())) << "the padding must be zero";
}

TEST(ParameterArena, writes_the_next_contribution_elsewhere_and_keeps_its_own) {
  const ParameterArena arena(Device{}, three_parameters());
  const Span<float> own = arena.outgoing();
  const Buffer memory({}, arena.state().size_bytes());
  arena.write_outgoing_to(memory.as<float>());
  arena.gradient({1}).data.host()[0] = 5.0F;
  EXPECT_EQ(memory.as<float>().host()[arena.layout().parameters()[1].offset], 5.0F);
  EXPECT_EQ(values_of(own), std::vector<float>(own.size()));
  arena.write_outgoing_to(own);
  EXPECT_EQ(arena.outgoing().data(), own.data());
}

TEST(ParameterArena, layers_read_weights_where_they_are_told) {
  const ParameterArena arena(Device{}, three_parameters());
  arena.initialize(3);
  EXPECT_EQ(arena.weights_read().data(), arena.weights().data());
  const Buffer version({}, arena.weights().size_bytes());
  arena.read_weights_from(version.as<float>());
  EXPECT_EQ(arena.weight_read({1}).data.data(), version.as<float>().data() + arena.layout().parameters()[1].offset);
  EXPECT_EQ(values_of(arena.weight({1}).data), std::vector<float>(17, 2.0F)) << "the arena's own stay";
  arena.read_weights_from(arena.weights());
  EXPECT_EQ(values_of(arena.weight_read({1}).data), std::vector<float>(17, 2.0F));
}

TEST(ParameterArena, refuses_memory_that_layers_cannot_use) {
  ParameterArena arena(Device{}, three_parameters());
  const std::size_t size = arena.weights().size();
  const std::string floats = fmt::format("{}", size);
  const Buffer memory({}, (size + 1) * sizeof(float));
  const Span<float> all = memory.as<float>();
  const Span<float> gpu(all.data(), size, Device{DeviceKind::cuda, 0});
  EXPECT_TRUE(throws<ShapeError>({"a contribution", floats}, [&] { arena.use_outgoing(all); }));
  EXPECT_TRUE(throws<ShapeError>({"weights", floats}, [&] { arena.read_weights_from(all); }));
  EXPECT_TRUE(throws<DeviceError>({"4 bytes", "64"}, [&] { arena.use_outgoing(all.subspan(1, size)); }));
  EXPECT_TRUE(throws<DeviceError>({"4 bytes", "64"}, [&] { arena.read_weights_from(all.subspan(1, size)); }));
  EXPECT_TRUE(throws<DeviceError>({"cuda", "cpu"}, [&] { arena.use_outgoing(gpu); }));
  EXPECT_TRUE(throws<DeviceError>({"cuda", "cpu"}, [&] { arena.read_weights_from(gpu); }));
  ParameterArena on_gpu(gpu.device(), three_parameters(), ParameterArena::Contents::none);
  EXPECT_TRUE(throws<DeviceError>({"recorded graphs", "copy"}, [&] { on_gpu.read_weights_from(gpu); }));
  EXPECT_TRUE(throws<DeviceError>({"one contribution", "recorded graphs"}, [&] { on_gpu.write_outgoing_to(gpu); }));
  EXPECT_TRUE(throws<ShapeError>({"a contribution", floats}, [&] { arena.write_outgoing_to(all); }));
}

TEST(ParameterArena, initialize_resets_the_running_statistics) {
  ParameterLayout layout;
  const auto statistics = layout.add_statistics("bn", 2);
  const ParameterArena arena(Device{}, layout);
  for (float& value : arena.running_statistics().host()) value = 9.0F;
  arena.initialize(1);
  EXPECT_EQ(values_of(arena.running(statistics).mean), (std::vector<float>{0.0F, 0.0F}));
  EXPECT_EQ(values_of(arena.running(statistics).variance), (std::vector<float>{1.0F, 1.0F}));
}

}  // namespace
}  // namespace apam::engine
