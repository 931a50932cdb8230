// The structure of the nets: published parameter counts, number and names of PyTorch's tensors, initial weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/parameters.h"
#include "kernels/runtime/error.h"
#include "nets/net.h"
#include "tests/support/throws.h"

namespace apam::nets {
namespace {

using engine::Initializer;

struct Published {
  std::string_view net;
  int classes;
  std::size_t parameters;
  std::size_t tensors;
  std::size_t batch_norms_with_statistics;
};

class EveryNet : public testing::TestWithParam<Published> {};

std::string name_of(const testing::TestParamInfo<Published>& test) {
  std::string name(test.param.net);
  std::replace(name.begin(), name.end(), '-', '_');
  return fmt::format("{}_{}", name, test.param.classes);
}

INSTANTIATE_TEST_SUITE_P(Nets, EveryNet,
                         testing::Values(Published{"allcnn", 10, 1'681'268, 27, 0},
                                         Published{"resnet18", 10, 11'173'962, 62, 20},
                                         Published{"wrn28-5", 1000, 9'450'424, 80, 25},
                                         Published{"wrn28-5", 10, 9'132'634, 80, 25}),
                         name_of);

TEST_P(EveryNet, has_the_published_number_of_parameters_and_tensors) {
  const auto net = make_net(GetParam().net, GetParam().classes);
  EXPECT_EQ(net->layout().parameter_count(), GetParam().parameters);
  EXPECT_EQ(net->layout().parameters().size(), GetParam().tensors);
  EXPECT_EQ(net->layout().statistics().size(), GetParam().batch_norms_with_statistics);
  EXPECT_EQ(net->classes(), GetParam().classes);
}

TEST_P(EveryNet, has_statistics_directly_after_weight_and_bias_of_their_batch_norm) {
  const auto net = make_net(GetParam().net, GetParam().classes);
  for (const auto& entry : net->layout().statistics()) {
    ASSERT_GE(entry.parameters_before, 2U);
    EXPECT_EQ(net->layout().parameters()[entry.parameters_before - 2].name, entry.name + ".weight");
    EXPECT_EQ(net->layout().parameters()[entry.parameters_before - 1].name, entry.name + ".bias");
    EXPECT_EQ(net->layout().parameters()[entry.parameters_before - 1].shape, (engine::Shape{entry.channels}));
  }
}

TEST_P(EveryNet, has_initial_weights_scaled_by_fan_in_or_fan_out) {
  const auto net = make_net(GetParam().net, GetParam().classes);
  for (const auto& parameter : net->layout().parameters()) {
    const auto& shape = parameter.shape;
    if (shape.rank() == 4 && GetParam().net == "wrn28-5") {
      EXPECT_EQ(parameter.initial.kind, Initializer::Kind::normal) << parameter.name;
      EXPECT_FLOAT_EQ(parameter.initial.scale, static_cast<float>(std::sqrt(2.0 / (shape[0] * shape[1] * shape[2]))));
    } else if (shape.rank() >= 2) {
      EXPECT_EQ(parameter.initial.kind, Initializer::Kind::uniform) << parameter.name;
      const auto fan_in = shape.size() / static_cast<std::size_t>(shape[0]);
      EXPECT_FLOAT_EQ(parameter.initial.scale, static_cast<float>(1.0 / std::sqrt(double(fan_in))));
    } else if (parameter.name == "linear.bias" || parameter.name == "fc.bias") {
      EXPECT_EQ(parameter.initial.kind, Initializer::Kind::uniform);
      const double features = parameter.name == "fc.bias" ? 320 : 512;
      EXPECT_FLOAT_EQ(parameter.initial.scale, static_cast<float>(1.0 / std::sqrt(features)));
    } else {
      EXPECT_EQ(parameter.initial.kind, Initializer::Kind::constant) << parameter.name;
      EXPECT_EQ(parameter.initial.scale, parameter.name.ends_with(".weight") ? 1.0F : 0.0F) << parameter.name;
    }
  }
}

std::vector<std::string> names(std::string_view net, std::size_t begin, std::size_t count) {
  const auto made = make_net(net, 10);
  const auto& parameters = made->layout().parameters();
  std::vector<std::string> result;
  for (std::size_t i = begin; i < begin + count; ++i) result.push_back(parameters.at(i).name);
  return result;
}

using Names = std::vector<std::string>;

TEST(AllCnn, has_the_parameter_names_of_pytorch) {
  EXPECT_EQ(names("allcnn", 0, 3), (Names{"conv1.conv.weight", "conv1.bn.weight", "conv1.bn.bias"}));
  EXPECT_EQ(names("allcnn", 24, 3), (Names{"conv9.conv.weight", "conv9.bn.weight", "conv9.bn.bias"}));
}

TEST(ResNet18, has_the_parameter_names_of_pytorch) {
  EXPECT_EQ(names("resnet18", 0, 4), (Names{"conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight"}));
  EXPECT_EQ(names("resnet18", 15, 9),
            (Names{"layer2.0.conv1.weight", "layer2.0.bn1.weight", "layer2.0.bn1.bias", "layer2.0.conv2.weight",
                   "layer2.0.bn2.weight", "layer2.0.bn2.bias", "layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.weight",
                   "layer2.0.shortcut.1.bias"}));
  EXPECT_EQ(names("resnet18", 60, 2), (Names{"linear.weight", "linear.bias"}));
}

TEST(WideResNet, has_the_parameter_names_of_pytorch) {
  EXPECT_EQ(names("wrn28-5", 0, 8),
            (Names{"conv1.weight", "block1.layer.0.bn1.weight", "block1.layer.0.bn1.bias", "block1.layer.0.conv1.weight",
                   "block1.layer.0.bn2.weight", "block1.layer.0.bn2.bias", "block1.layer.0.conv2.weight",
                   "block1.layer.0.convShortcut.weight"}));
  EXPECT_EQ(names("wrn28-5", 8, 1), (Names{"block1.layer.1.bn1.weight"}));
  EXPECT_EQ(names("wrn28-5", 75, 5), (Names{"block3.layer.3.conv2.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias"}));
}

TEST(NetTable, rejects_unknown_names_and_lists_known_ones) {
  using support::throws;
  EXPECT_TRUE(throws<InputError>({"allcnn", "resnet18", "wrn28-5", "resnet50"}, [] { make_net("resnet50", 10); }));
  EXPECT_TRUE(throws<InputError>({"net", "1", "class", "0"}, [] { make_net("resnet18", 0); }));
}

TEST(NetTable, has_unique_names) {
  std::set<std::string_view> seen;
  for (const auto& entry : all_nets()) EXPECT_TRUE(seen.insert(entry.name).second) << entry.name;
  EXPECT_EQ(seen.size(), 3U);
}

}  // namespace
}  // namespace apam::nets
