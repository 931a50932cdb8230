#include "nets/allcnn.h"

#include <array>

namespace apam::nets {
namespace {

struct BlockPlan {
  int out_channels;  // 0: number of classes
  int stride = 1, padding = 1;
};
constexpr std::array<BlockPlan, 9> kBlocks{{{96},
                                            {96},
                                            {.out_channels = 96, .stride = 2},
                                            {192},
                                            {192},
                                            {.out_channels = 192, .stride = 2},
                                            {.out_channels = 192, .stride = 1, .padding = 0},
                                            {192},
                                            {0}}};
constexpr int kAllCnnExtent = 6;         // height and width after the last block
constexpr float kLogitsFactor = 0.125F;  // of the published net: softens the initial predictions

}  // namespace

AllCnn::AllCnn(int classes) : Net(classes) {
  int channels = 3;
  for (const auto& plan : kBlocks) {
    const int out = plan.out_channels > 0 ? plan.out_channels : classes;
    const std::string name = fmt::format("conv{}", blocks_.size() + 1);
    blocks_.push_back(
        {engine::Conv2d(
             layout_, name + ".conv",
             {.in_channels = channels, .out_channels = out, .kernel = 3, .stride = plan.stride, .padding = plan.padding}),
         engine::BatchNorm(layout_, name + ".bn", out, engine::BatchNorm::Track::nothing)});
    channels = out;
  }
}

engine::Var AllCnn::forward(const engine::Var& images) const {
  engine::Var x = images;
  for (const auto& block : blocks_) x = block.bn.relu(block.conv(x));
  return scale(avg_pool(x, kAllCnnExtent), kLogitsFactor);
}

}  // namespace apam::nets
