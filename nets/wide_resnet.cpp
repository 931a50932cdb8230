#include "nets/wide_resnet.h"

#include <array>
#include <cmath>

namespace apam::nets {
namespace {

constexpr int kWideResNetStem = 16;
constexpr std::array<int, 3> kGroupChannels{80, 160, 320};
constexpr int kBlocksPerGroup = 4;
constexpr int kWideResNetExtent = 8;  // height and width after the last group

/// A convolution with initial weights N(0, 2 / fan_out) (He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015).
engine::Conv2d convolution(engine::ParameterLayout& layout, const std::string& name, const engine::Conv2d::Options& options) {
  const double fan_out = double(options.out_channels) * options.kernel * options.kernel;
  return {layout, name, options, engine::Initializer::normal(static_cast<float>(std::sqrt(2.0 / fan_out)))};
}

}  // namespace

WideResNet::Block::Block(engine::ParameterLayout& layout, const std::string& name, int in_channels, int out_channels,
                         int stride)
    : bn1_(layout, name + ".bn1", in_channels),
      conv1_(
          convolution(layout, name + ".conv1",
                      {.in_channels = in_channels, .out_channels = out_channels, .kernel = 3, .stride = stride, .padding = 1})),
      bn2_(layout, name + ".bn2", out_channels),
      conv2_(convolution(layout, name + ".conv2",
                         {.in_channels = out_channels, .out_channels = out_channels, .kernel = 3, .padding = 1})) {
  if (in_channels == out_channels) return;
  shortcut_ = convolution(layout, name + ".convShortcut",
                          {.in_channels = in_channels, .out_channels = out_channels, .kernel = 1, .stride = stride});
}

engine::Var WideResNet::Block::operator()(const engine::Var& x) const {
  const engine::Var o = bn1_.relu(x);
  const engine::Var y = conv2_(bn2_.relu(conv1_(o)));
  return add(y, shortcut_ ? (*shortcut_)(o) : x);
}

WideResNet::WideResNet(int classes)
    : Net(classes),
      stem_(convolution(layout_, "conv1", {.in_channels = 3, .out_channels = kWideResNetStem, .kernel = 3, .padding = 1})) {
  int channels = kWideResNetStem;
  for (std::size_t group = 0; group < kGroupChannels.size(); ++group) {
    for (int block = 0; block < kBlocksPerGroup; ++block) {
      const int stride = group > 0 && block == 0 ? 2 : 1;
      blocks_.emplace_back(layout_, fmt::format("block{}.layer.{}", group + 1, block), channels, kGroupChannels[group], stride);
      channels = kGroupChannels[group];
    }
  }
  bn_.emplace(layout_, "bn1", channels);
  linear_.emplace(layout_, "fc", channels, classes);
}

engine::Var WideResNet::forward(const engine::Var& images) const {
  engine::Var x = stem_(images);
  for (const auto& block : blocks_) x = block(x);
  return (*linear_)(avg_pool(bn_->relu(x), kWideResNetExtent));
}

}  // namespace apam::nets
