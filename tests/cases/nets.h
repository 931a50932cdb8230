// The layers of the nets as plain data: what a training step of each computes, in forward order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace apam::cases {

/// Images are square: height = width = size.
struct ConvLayer {
  std::string name;
  int size, in, out;  ///< input size, channels in and out
  int window, stride, padding;
  int out_size() const { return (size + 2 * padding - window) / stride + 1; }
};
struct NormLayer {
  std::string name;
  int size, channels;
  bool residual, relu;  ///< what is fused into it
};
struct AddLayer {
  std::string name;
  int size, channels;
};

struct NetLayers {
  std::string name;
  int batch;  ///< images a step in the published runs
  int classes;
  std::vector<ConvLayer> convs{};
  std::vector<NormLayer> norms{};
  std::vector<AddLayer> adds{};  ///< sums of two activations or of two gradients of one
  int pool;                      ///< window of the average pool over `pool` x `pool` x `features`
  int features;
  bool linear = false;      ///< a linear layer from features to classes follows
  float logits_factor = 1;  ///< 1: no scaling

  /// Weights of convolutions, batch norms (two a channel) and the linear layer.
  std::int64_t parameters() const;
  /// Means and variances of all batch norms.
  std::int64_t statistics() const;
};

NetLayers allcnn(int classes = 10);
NetLayers resnet18(int classes = 10);
NetLayers wide_resnet(int classes = 1000);

}  // namespace apam::cases
