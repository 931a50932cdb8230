// Wide residual network (Zagoruyko, Komodakis, "Wide residual networks", 2016) for 32x32 images: depth 28, width 5.
//   stem    conv 3x3, 3->16
//   groups  80, 160, 320 channels at strides 1, 2, 2, four blocks each
//   block   o = relu(bn1(x));  conv2(relu(bn2(conv1(o)))) + shortcut
//           shortcut: strided 1x1 convolution of o (not x) if the number of channels changes, else x
//   head    relu(bn), mean over 8x8, linear
// Initial convolution weights: N(0, 2 / fan_out). 9,450,424 parameters for 1000 classes.
#pragma once

#include <optional>
#include <vector>

#include "engine/layers/layers.h"
#include "nets/net.h"

namespace apam::nets {

class WideResNet final : public Net {
 public:
  explicit WideResNet(int classes);
  /// images (N, 32, 32, 3) -> (N, classes)
  engine::Var forward(const engine::Var& images) const override;

 private:
  class Block {
   public:
    Block(engine::ParameterLayout& layout, const std::string& name, int in_channels, int out_channels, int stride);
    engine::Var operator()(const engine::Var& x) const;

   private:
    engine::BatchNorm bn1_;
    engine::Conv2d conv1_;
    engine::BatchNorm bn2_;
    engine::Conv2d conv2_;
    std::optional<engine::Conv2d> shortcut_;
  };

  engine::Conv2d stem_;
  std::vector<Block> blocks_;
  std::optional<engine::BatchNorm> bn_;  // these two constructed last, to register parameters in PyTorch's order
  std::optional<engine::Linear> linear_;
};

}  // namespace apam::nets
