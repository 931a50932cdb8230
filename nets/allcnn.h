// All-CNN-C (Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for simplicity: the all convolutional net", 2015), with
// batch norm. Nine blocks relu(bn(conv 3x3)):
//   3->96, 96->96, 96->96 stride 2, 96->192, 192->192, 192->192 stride 2, 192->192 padding 0, 192->192, 192->classes
// (32x32 -> 16x16 -> 8x8 -> 6x6), then the mean over 6x6, times 0.125. 1,681,268 parameters for 10 classes.
// The batch norms have no running statistics: evaluation uses batch statistics too, so scores depend on the size of its batches
// and on the order of the images.
#pragma once

#include <vector>

#include "engine/layers/layers.h"
#include "nets/net.h"

namespace apam::nets {

class AllCnn final : public Net {
 public:
  explicit AllCnn(int classes);
  /// images (N, 32, 32, 3) -> (N, 1, 1, classes)
  engine::Var forward(const engine::Var& images) const override;

 private:
  struct Block {
    engine::Conv2d conv;
    engine::BatchNorm bn;
  };
  std::vector<Block> blocks_;
};

}  // namespace apam::nets
