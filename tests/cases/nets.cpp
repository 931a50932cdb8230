#include "tests/cases/nets.h"

#include <fmt/format.h>

namespace apam::cases {

std::int64_t NetLayers::parameters() const {
  std::int64_t sum = linear ? (features + std::int64_t{1}) * classes : 0;
  for (const auto& conv : convs) sum += std::int64_t{conv.out} * conv.window * conv.window * conv.in;
  return sum + statistics();
}

std::int64_t NetLayers::statistics() const {
  std::int64_t sum = 0;
  for (const auto& norm : norms) sum += 2 * norm.channels;
  return sum;
}

NetLayers allcnn(int classes) {
  NetLayers net{.name = "allcnn", .batch = 100, .classes = classes, .pool = 6, .features = classes, .logits_factor = 0.125F};
  struct Block {
    int out, stride, padding;
  };
  int size = 32, channels = 3, index = 0;
  for (const auto [out, stride, padding] : {Block{96, 1, 1},
                                            {96, 1, 1},
                                            {96, 2, 1},
                                            {192, 1, 1},
                                            {192, 1, 1},
                                            {192, 2, 1},
                                            {192, 1, 0},
                                            {192, 1, 1},
                                            {classes, 1, 1}}) {
    const auto& conv =
        net.convs.emplace_back(ConvLayer{fmt::format("conv{}.conv", ++index), size, channels, out, 3, stride, padding});
    size = conv.out_size();
    channels = out;
    net.norms.push_back({fmt::format("conv{}.bn", index), size, channels, false, true});
  }
  return net;
}

NetLayers resnet18(int classes) {
  NetLayers net{.name = "resnet18", .batch = 80, .classes = classes, .pool = 4, .features = 512, .linear = true};
  int size = 32, channels = 64;
  net.convs.push_back({"conv1", size, 3, channels, 3, 1, 1});
  net.norms.push_back({"bn1", size, channels, false, true});
  for (int stage = 1; stage <= 4; ++stage) {
    const int out = 32 << stage;
    for (int block = 0; block < 2; ++block) {
      const std::string name = fmt::format("layer{}.{}", stage, block);
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      const int in_size = size;
      net.convs.push_back({name + ".conv1", in_size, channels, out, 3, stride, 1});
      size /= stride;
      net.norms.push_back({name + ".bn1", size, out, false, true});
      net.convs.push_back({name + ".conv2", size, out, out, 3, 1, 1});
      if (stride == 2) {
        net.convs.push_back({name + ".shortcut.0", in_size, channels, out, 1, 2, 0});
        net.norms.push_back({name + ".shortcut.1", size, out, false, false});
      }
      net.norms.push_back({name + ".bn2", size, out, true, true});
      net.adds.push_back({name + ".input_gradient", in_size, channels});
      channels = out;
    }
  }
  return net;
}

NetLayers wide_resnet(int classes) {
  NetLayers net{.name = "wrn28-5", .batch = 100, .classes = classes, .pool = 8, .features = 320, .linear = true};
  int size = 32, channels = 16;
  net.convs.push_back({"conv1", size, 3, channels, 3, 1, 1});
  for (int group = 1; group <= 3; ++group) {
    const int out = 40 << group;
    for (int block = 0; block < 4; ++block) {
      const std::string name = fmt::format("block{}.layer.{}", group, block);
      const int stride = group > 1 && block == 0 ? 2 : 1;
      const int in_size = size;
      net.norms.push_back({name + ".bn1", in_size, channels, false, true});
      net.convs.push_back({name + ".conv1", in_size, channels, out, 3, stride, 1});
      size /= stride;
      net.norms.push_back({name + ".bn2", size, out, false, true});
      net.convs.push_back({name + ".conv2", size, out, out, 3, 1, 1});
      if (block == 0) net.convs.push_back({name + ".convShortcut", in_size, channels, out, 1, stride, 0});
      net.adds.push_back({name + ".sum", size, out});
      channels = out;
    }
  }
  net.norms.push_back({"bn1", size, channels, false, true});
  return net;
}

}  // namespace apam::cases
