// ResNet-18 for 32x32 images (He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016):
//   stem    relu(bn(conv 3x3, 3->64))
//   stages  64, 128, 256, 512 channels, two basic blocks each; the first block of the last three has stride 2
//   block   relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x));  shortcut: x, or bn(conv 1x1) if the shape changes
//   head    mean over 4x4, linear
// 11,173,962 parameters for 10 classes.
#pragma once

#include <optional>
#include <vector>

#include "engine/layers/layers.h"
#include "nets/net.h"

namespace apam::nets {

class ResNet18 final : public Net {
 public:
  explicit ResNet18(int classes);
  /// images (N, 32, 32, 3) -> (N, classes)
  engine::Var forward(const engine::Var& images) const override;

 private:
  class Block {
   public:
    Block(engine::ParameterLayout& layout, const std::string& name, int in_channels, int out_channels, int stride);
    engine::Var operator()(const engine::Var& x) const;

   private:
    struct Shortcut {
      engine::Conv2d conv;
      engine::BatchNorm bn;
    };
    engine::Conv2d conv1_;
    engine::BatchNorm bn1_;
    engine::Conv2d conv2_;
    engine::BatchNorm bn2_;
    std::optional<Shortcut> shortcut_;
  };

  engine::Conv2d stem_;
  engine::BatchNorm stem_bn_;
  std::vector<Block> blocks_;
  std::optional<engine::Linear> linear_;  // constructed last, to register parameters in PyTorch's order
};

}  // namespace apam::nets
