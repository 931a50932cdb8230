#include "engine/layers/layers.h"

#include <cmath>

namespace apam::engine {
namespace {

/// PyTorch's default for convolutions and linear layers: kaiming_uniform_(a = sqrt(5)) = U(-b, b), b = 1 / sqrt(fan_in).
Initializer fan_in_uniform(int fan_in) { return Initializer::uniform(static_cast<float>(1.0 / std::sqrt(double(fan_in)))); }

}  // namespace

Conv2d::Conv2d(ParameterLayout& layout, const std::string& name, const Options& options)
    : Conv2d(layout, name, options, fan_in_uniform(options.in_channels * options.kernel * options.kernel)) {}

Conv2d::Conv2d(ParameterLayout& layout, const std::string& name, const Options& options, Initializer initial)
    : weight_(
          layout.add(name + ".weight", {options.out_channels, options.kernel, options.kernel, options.in_channels}, initial)),
      options_{options.stride, options.padding} {}

BatchNorm::BatchNorm(ParameterLayout& layout, const std::string& name, int channels, Track track) {
  parameters_.gamma = layout.add(name + ".weight", {channels}, Initializer::constant(1.0F));
  parameters_.beta = layout.add(name + ".bias", {channels}, Initializer::constant(0.0F));
  if (track == Track::running_statistics) parameters_.statistics = layout.add_statistics(name, channels);
}

Linear::Linear(ParameterLayout& layout, const std::string& name, int in_features, int out_features)
    : weight_(layout.add(name + ".weight", {out_features, in_features}, fan_in_uniform(in_features))),
      bias_(layout.add(name + ".bias", {out_features}, fan_in_uniform(in_features))) {}

}  // namespace apam::engine
