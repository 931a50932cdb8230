// Layers. A constructor registers parameters in a layout; operator() maps Var to Var. Layers hold ids and options, no memory.
// Initial values follow PyTorch's defaults unless a net overrides them.
#pragma once

#include <string>

#include "engine/ops/ops.h"

namespace apam::engine {

/// Square convolution without bias; parameter `name`.weight (K, R, R, C).
class Conv2d {
 public:
  struct Options {
    int in_channels, out_channels, kernel;
    int stride = 1, padding = 0;
  };
  /// Weights U(-b, b), b = 1/sqrt(fan_in), unless an initializer is given.
  Conv2d(ParameterLayout& layout, const std::string& name, const Options& options);
  Conv2d(ParameterLayout& layout, const std::string& name, const Options& options, Initializer initial);

  Var operator()(const Var& x) const { return conv2d(x, weight_, options_); }

 private:
  ParameterId weight_;
  ConvolutionOptions options_;
};

/// Batch norm; parameters `name`.weight (gamma, initially 1) and `name`.bias (beta, initially 0), optional running statistics.
class BatchNorm {
 public:
  enum class Track : std::uint8_t { running_statistics, nothing };
  BatchNorm(ParameterLayout& layout, const std::string& name, int channels, Track track = Track::running_statistics);

  Var operator()(const Var& x) const { return batch_norm(x, parameters_); }
  /// relu(batch_norm(x)), fused.
  Var relu(const Var& x) const { return batch_norm(x, parameters_, {.residual = nullptr, .relu = true}); }
  /// relu(batch_norm(x) + residual), fused.
  Var add_relu(const Var& x, const Var& residual) const {
    return batch_norm(x, parameters_, {.residual = &residual, .relu = true});
  }

 private:
  BatchNormParameters parameters_;
};

/// Fully connected; parameters `name`.weight (K, C) and `name`.bias (K), both U(-b, b), b = 1/sqrt(C).
class Linear {
 public:
  Linear(ParameterLayout& layout, const std::string& name, int in_features, int out_features);

  Var operator()(const Var& x) const { return linear(x, weight_, bias_); }

 private:
  ParameterId weight_, bias_;
};

}  // namespace apam::engine
