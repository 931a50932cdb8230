#include "nets/resnet18.h"

#include <array>

namespace apam::nets {
namespace {

constexpr int kResNetStem = 64;
constexpr std::array<int, 4> kStageChannels{64, 128, 256, 512};
constexpr int kBlocksPerStage = 2;
constexpr int kResNetExtent = 4;  // height and width after the last stage

}  // namespace

ResNet18::Block::Block(engine::ParameterLayout& layout, const std::string& name, int in_channels, int out_channels, int stride)
    : conv1_(layout, name + ".conv1",
             {.in_channels = in_channels, .out_channels = out_channels, .kernel = 3, .stride = stride, .padding = 1}),
      bn1_(layout, name + ".bn1", out_channels),
      conv2_(layout, name + ".conv2", {.in_channels = out_channels, .out_channels = out_channels, .kernel = 3, .padding = 1}),
      bn2_(layout, name + ".bn2", out_channels) {
  if (stride == 1 && in_channels == out_channels) return;
  shortcut_ = {engine::Conv2d(layout, name + ".shortcut.0",
                              {.in_channels = in_channels, .out_channels = out_channels, .kernel = 1, .stride = stride}),
               engine::BatchNorm(layout, name + ".shortcut.1", out_channels)};
}

engine::Var ResNet18::Block::operator()(const engine::Var& x) const {
  const engine::Var y = conv2_(bn1_.relu(conv1_(x)));
  return bn2_.add_relu(y, shortcut_ ? shortcut_->bn(shortcut_->conv(x)) : x);
}

ResNet18::ResNet18(int classes)
    : Net(classes),
      stem_(layout_, "conv1", {.in_channels = 3, .out_channels = kResNetStem, .kernel = 3, .padding = 1}),
      stem_bn_(layout_, "bn1", kResNetStem) {
  int channels = kResNetStem;
  for (std::size_t stage = 0; stage < kStageChannels.size(); ++stage) {
    for (int block = 0; block < kBlocksPerStage; ++block) {
      const int stride = stage > 0 && block == 0 ? 2 : 1;
      blocks_.emplace_back(layout_, fmt::format("layer{}.{}", stage + 1, block), channels, kStageChannels[stage], stride);
      channels = kStageChannels[stage];
    }
  }
  linear_.emplace(layout_, "linear", channels, classes);
}

engine::Var ResNet18::forward(const engine::Var& images) const {
  engine::Var x = stem_bn_.relu(stem_(images));
  for (const auto& block : blocks_) x = block(x);
  return (*linear_)(avg_pool(x, kResNetExtent));
}

}  // namespace apam::nets
