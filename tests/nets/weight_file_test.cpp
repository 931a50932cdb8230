// Weight files: PyTorch's names, order and shapes, optional statistics, and files that do not match the net.
#include "nets/weight_file.h"

#include <gtest/gtest.h>

#include "nets/net.h"
#include "nets/safetensors.h"
#include "tests/nets/files.h"

namespace apam::nets {
namespace {

using engine::Initializer;
using engine::ParameterArena;
using engine::ParameterLayout;

/// A convolution with 2 filters of 1x2x3, its batch norm, and a bias.
ParameterLayout small_layout() {
  ParameterLayout layout;
  layout.add("conv.weight", {2, 1, 2, 3}, Initializer::uniform(1.0F));  // (K, R, S, C)
  layout.add("bn.weight", {2}, Initializer::uniform(1.0F));
  layout.add("bn.bias", {2}, Initializer::uniform(1.0F));
  layout.add_statistics("bn", 2);
  layout.add("fc.bias", {5}, Initializer::uniform(1.0F));
  return layout;
}

void fill(Span<float> values, float first) {
  for (float& value : values.host()) value = first++;
}

std::vector<float> floats(const NamedTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::vector<float> values_of(ConstSpan<float> span) { return {span.host().begin(), span.host().end()}; }

class SmallFile : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 4; ++i) fill(arena.weight({i}).data, 100.0F * static_cast<float>(i));
    fill(arena.running({0}).mean, 1000.0F);
    fill(arena.running({0}).variance, 2000.0F);
    save_weights(path, arena, 17);
  }

  /// Applies `change` to the file's tensors and writes them to `changed`.
  template <class Change>
  void rewrite(Change&& change) {
    const auto file = Safetensors::read(path);
    auto tensors = file.tensors();
    change(tensors);
    write_safetensors(changed, tensors);
  }
  static NamedTensor& find(std::vector<NamedTensor>& tensors, std::string_view name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  }
  static void erase(std::vector<NamedTensor>& tensors, std::string_view part) {
    std::erase_if(tensors, [&](const auto& t) { return t.name.find(part) != std::string::npos; });
  }
  /// Expects an error with these words on loading `changed`, and an unchanged arena.
  void expect_load_error(std::vector<std::string_view> words) {
    const ParameterArena other(Device{}, small_layout());
    other.initialize(5);
    const auto before = values_of(other.state());
    words.insert(words.begin(), {"weights", changed.native()});
    EXPECT_TRUE(throws<InputError>(words, [&] { load_weights(changed, other); }));
    EXPECT_EQ(values_of(other.state()), before);
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "w.safetensors", changed = folder.path() / "changed.safetensors";
  ParameterArena arena{Device{}, small_layout()};
};

TEST_F(SmallFile, has_the_shapes_and_order_of_pytorch) {
  const auto file = Safetensors::read(path);
  const NamedTensor* conv = file.find("conv.weight");
  ASSERT_NE(conv, nullptr);
  EXPECT_EQ(conv->shape, (std::vector<std::int64_t>{2, 3, 1, 2}));  // (K, C, R, S)
  EXPECT_EQ(floats(*conv), (std::vector<float>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}));
  EXPECT_EQ(floats(*file.find("bn.running_mean")), (std::vector<float>{1000, 1001}));
  EXPECT_EQ(floats(*file.find("bn.running_var")), (std::vector<float>{2000, 2001}));
  EXPECT_EQ(file.find("bn.num_batches_tracked")->dtype, "I64");
  EXPECT_TRUE(file.find("bn.num_batches_tracked")->shape.empty());
  const std::string header = read_file(path).substr(8);
  std::size_t at = 0;
  for (const auto* name :
       {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "fc.bias"}) {
    const auto place = header.find(fmt::format("\"{}\"", name));
    ASSERT_NE(place, std::string::npos) << name;
    EXPECT_GE(place, at) << name;
    at = place;
  }
}

TEST_F(SmallFile, restores_the_state) {
  const ParameterArena other(Device{}, small_layout());
  const auto loaded = load_weights(path, other);
  EXPECT_EQ(values_of(other.state()), values_of(arena.state()));
  EXPECT_TRUE(loaded.running_statistics);
  EXPECT_EQ(loaded.batches_tracked, 17);
}

TEST_F(SmallFile, without_statistics_resets_them) {
  rewrite([](auto& tensors) {
    erase(tensors, "running");
    erase(tensors, "tracked");
  });
  const ParameterArena other(Device{}, small_layout());
  fill(other.running({0}).mean, 5.0F);
  fill(other.running({0}).variance, 5.0F);
  const auto loaded = load_weights(changed, other);
  EXPECT_EQ(values_of(other.weights()), values_of(arena.weights()));
  EXPECT_EQ(values_of(other.running({0}).mean), (std::vector<float>{0, 0}));
  EXPECT_EQ(values_of(other.running({0}).variance), (std::vector<float>{1, 1}));
  EXPECT_FALSE(loaded.running_statistics);
  EXPECT_FALSE(loaded.batches_tracked.has_value());
}

TEST_F(SmallFile, may_lack_num_batches_tracked) {
  rewrite([](auto& tensors) { erase(tensors, "tracked"); });
  const ParameterArena other(Device{}, small_layout());
  EXPECT_TRUE(load_weights(changed, other).running_statistics);
  EXPECT_EQ(values_of(other.state()), values_of(arena.state()));
}

TEST_F(SmallFile, with_a_tensor_missing_is_an_error) {
  rewrite([](auto& tensors) { erase(tensors, "conv.weight"); });
  expect_load_error({"conv.weight", "missing", "F32", "(2, 3, 1, 2)"});
}

TEST_F(SmallFile, with_half_of_the_statistics_is_an_error) {
  rewrite([](auto& tensors) { erase(tensors, "running_var"); });
  expect_load_error({"bn.running_var", "missing", "F32", "(2)"});
}

TEST_F(SmallFile, with_an_unknown_tensor_is_an_error) {
  rewrite([](auto& tensors) { find(tensors, "fc.bias").name = "fc.offset"; });
  expect_load_error({"fc.bias", "missing", "F32", "(5)"});
  rewrite([](auto& tensors) {
    tensors.push_back(find(tensors, "fc.bias"));
    tensors.back().name = "fc.offset";
  });
  expect_load_error({"fc.offset", "(5)", "7"});
}

TEST_F(SmallFile, of_a_wrapped_module_is_an_error_with_a_hint) {
  for (const std::string prefix : {"module.", "_orig_mod.", "module._orig_mod."}) {
    rewrite([&](auto& tensors) {
      for (auto& tensor : tensors) tensor.name = prefix + tensor.name;
    });
    const std::string hint = fmt::format("{{name.removeprefix(\"{}\"): tensor ...}}", prefix);
    expect_load_error({"conv.weight", "missing", "F32", "(2, 3, 1, 2)", hint});
  }
  rewrite([](auto& tensors) {
    for (auto& tensor : tensors) tensor.name = "net." + tensor.name;
  });
  expect_load_error({"conv.weight", "missing", "F32", "(2, 3, 1, 2)"});  // not a known prefix
}

TEST_F(SmallFile, with_another_shape_is_an_error) {
  rewrite([](auto& tensors) { find(tensors, "conv.weight").shape = {2, 1, 2, 3}; });
  expect_load_error({"conv.weight", "F32", "(2, 1, 2, 3)", "F32", "(2, 3, 1, 2)"});
  rewrite([](auto& tensors) { find(tensors, "bn.running_mean").shape = {2, 1}; });
  expect_load_error({"bn.running_mean", "F32", "(2, 1)", "F32", "(2)"});
}

TEST_F(SmallFile, with_another_dtype_is_an_error) {
  rewrite([](auto& tensors) { find(tensors, "fc.bias").dtype = "I32"; });
  expect_load_error({"fc.bias", "I32", "(5)", "F32", "(5)"});
  rewrite([](auto& tensors) { find(tensors, "bn.num_batches_tracked").dtype = "F64"; });
  expect_load_error({"bn.num_batches_tracked", "F64", "()", "I64", "()"});
}

TEST_F(SmallFile, of_gradients_has_the_loss_and_gradients_under_parameter_names) {
  for (int i = 0; i < 4; ++i) fill(arena.gradient({i}).data, 10.0F * static_cast<float>(i));
  save_gradients(path, arena, 2.5F);
  const auto file = Safetensors::read(path);
  EXPECT_EQ(file.tensors().size(), 5U);
  EXPECT_EQ(floats(*file.find("loss")), (std::vector<float>{2.5F}));
  EXPECT_TRUE(file.find("loss")->shape.empty());
  EXPECT_EQ(floats(*file.find("conv.weight")), (std::vector<float>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}));
  EXPECT_EQ(floats(*file.find("fc.bias")), (std::vector<float>{30, 31, 32, 33, 34}));
}

TEST(WeightsSha256, hashes_values_in_file_order) {
  ParameterLayout zeros;
  zeros.add("w", {2}, {});
  const ParameterArena eight_bytes(Device{}, zeros);
  EXPECT_EQ(sha256_of(eight_bytes).weights, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc");

  ParameterLayout convolution, vector;
  convolution.add("w", {2, 1, 2, 3}, {});
  vector.add("v", {12}, {});
  const ParameterArena first(Device{}, convolution), second(Device{}, vector);
  fill(first.weight({0}).data, 0.0F);
  const std::vector<float> in_file_order{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
  copy(ConstSpan<float>(in_file_order.data(), 12), second.weight({0}).data);
  EXPECT_EQ(sha256_of(first).weights, sha256_of(second).weights);
  second.weight({0}).data.host()[11] = 11.5F;
  EXPECT_NE(sha256_of(first).weights, sha256_of(second).weights);
}

TEST(StateSha256, hashes_parameters_and_running_statistics) {
  ParameterLayout layout;
  layout.add("w", {2}, {});
  const ParameterArena bare(Device{}, layout);
  const auto batch_norm = layout.add_statistics("b", 1);
  const ParameterArena arena(Device{}, layout);
  for (const ParameterArena* each : {&bare, &arena}) {
    each->weight({0}).data.host()[0] = 1;
    each->weight({0}).data.host()[1] = 2;
    EXPECT_EQ(sha256_of(*each).weights, "b9c80b5adeca450753a16950c3cc655d271f7bef7a485bc83f112b72fef21d37");  // of 1 2
  }
  EXPECT_EQ(sha256_of(bare).state, sha256_of(bare).weights);
  fill(arena.running(batch_norm).mean, 0.5F);
  fill(arena.running(batch_norm).variance, 4);
  // python3 -c "import hashlib, struct; print(hashlib.sha256(struct.pack('<4f', 1, 2, 0.5, 4)).hexdigest())"
  EXPECT_EQ(sha256_of(arena).state, "73e4bbbf156984741947021beeda2f8e018ae4e7d46e53ff09a739834793c17f");
}

class EveryNetsFile : public testing::TestWithParam<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(Nets, EveryNetsFile, testing::Values("allcnn", "resnet18", "wrn28-5"),
                         [](const testing::TestParamInfo<std::string_view>& test) {
                           return std::string(test.param.substr(0, test.param.find('-')));
                         });

TEST_P(EveryNetsFile, restores_the_state_exactly) {
  const TemporaryFolder folder;
  const auto net = make_net(GetParam(), 10);
  const ParameterArena first(Device{}, net->layout(), ParameterArena::Contents::state);
  first.initialize(1);
  fill(first.running_statistics(), 0.5F);
  save_weights(folder.path() / "w", first, 3);
  const ParameterArena second(Device{}, net->layout(), ParameterArena::Contents::state);
  second.initialize(2);
  EXPECT_NE(sha256_of(first).weights, sha256_of(second).weights);
  const auto loaded = load_weights(folder.path() / "w", second);
  EXPECT_EQ(sha256_of(first).weights, sha256_of(second).weights);
  EXPECT_EQ(values_of(first.weights()), values_of(second.weights()));
  EXPECT_EQ(loaded.running_statistics, !net->layout().statistics().empty());
  for (int i = 0; i < static_cast<int>(net->layout().statistics().size()); ++i) {
    EXPECT_EQ(values_of(first.running({i}).mean), values_of(second.running({i}).mean));
    EXPECT_EQ(values_of(first.running({i}).variance), values_of(second.running({i}).variance));
  }
}

TEST_P(EveryNetsFile, is_rejected_by_other_nets) {
  const TemporaryFolder folder;
  const auto net = make_net(GetParam(), 10);
  const ParameterArena arena(Device{}, net->layout(), ParameterArena::Contents::state);
  save_weights(folder.path() / "w", arena, 0);
  for (const auto& entry : all_nets()) {
    if (entry.name == GetParam()) continue;
    const ParameterArena other(Device{}, make_net(entry.name, 10)->layout(), ParameterArena::Contents::state);
    EXPECT_TRUE(throws<InputError>({"weights", "F32"}, [&] { load_weights(folder.path() / "w", other); })) << entry.name;
  }
  const ParameterArena more_classes(Device{}, make_net(GetParam(), 11)->layout(), ParameterArena::Contents::state);
  EXPECT_TRUE(throws<InputError>({"weights", "(10,", "(11,"}, [&] { load_weights(folder.path() / "w", more_classes); }));
}

}  // namespace
}  // namespace apam::nets
