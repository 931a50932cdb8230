#include <algorithm>

#include "tests/cases/cases.h"
#include "tests/cases/nets.h"

namespace apam::cases {
namespace {

using namespace kernels;

std::vector<NetLayers> nets() { return {allcnn(), resnet18(), wide_resnet()}; }

/// Calls visit(net, images, add) for each net, or that of the given name, where add(layer, problem) keeps a problem that is
/// not in the list yet, and counts one that is.
template <class Op, class Visit>
std::vector<Case<Op>> collect(int batch, std::string_view name, Visit visit) {
  std::vector<Case<Op>> cases;
  for (const NetLayers& net : nets()) {
    if (!name.empty() && net.name != name) continue;
    visit(net, batch > 0 ? batch : net.batch, [&](const std::string& layer, const typename Op::Problem& problem) {
      const auto known = std::find_if(cases.begin(), cases.end(), [&](const auto& c) { return c.problem == problem; });
      if (known == cases.end()) {
        cases.push_back({net.name + "/" + layer, problem});
      } else {
        ++known->layers;
      }
    });
  }
  return cases;
}

std::int64_t elements(int images, int size, int channels) { return std::int64_t{images} * size * size * channels; }

}  // namespace

template <>
std::vector<Case<Conv2d>> net_cases<Conv2d>(int batch, std::string_view net_name) {
  return collect<Conv2d>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    for (const auto& conv : net.convs) {
      add(conv.name, {images, conv.size, conv.size, conv.in, conv.out, conv.window, conv.window, conv.stride, conv.padding});
    }
  });
}

template <>
std::vector<Case<BatchNorm>> net_cases<BatchNorm>(int batch, std::string_view net_name) {
  return collect<BatchNorm>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    for (const auto& norm : net.norms)
      add(norm.name, {images * norm.size * norm.size, norm.channels, norm.residual, norm.relu});
  });
}

template <>
std::vector<Case<Relu>> net_cases<Relu>(int batch, std::string_view net_name) {
  return collect<Relu>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    for (const auto& norm : net.norms) {
      if (norm.relu) add(norm.name + ".relu", {elements(images, norm.size, norm.channels)});
    }
  });
}

template <>
std::vector<Case<Add>> net_cases<Add>(int batch, std::string_view net_name) {
  return collect<Add>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    for (const auto& sum : net.adds) add(sum.name, {elements(images, sum.size, sum.channels)});
  });
}

template <>
std::vector<Case<Scale>> net_cases<Scale>(int batch, std::string_view net_name) {
  return collect<Scale>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    if (net.logits_factor != 1) add("logits", {std::int64_t{images} * net.classes, net.logits_factor});
  });
}

template <>
std::vector<Case<AvgPool>> net_cases<AvgPool>(int batch, std::string_view net_name) {
  return collect<AvgPool>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    add("pool", {images, net.pool, net.pool, net.features, net.pool});
  });
}

template <>
std::vector<Case<Linear>> net_cases<Linear>(int batch, std::string_view net_name) {
  return collect<Linear>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    if (net.linear) add("linear", {images, net.features, net.classes});
  });
}

template <>
std::vector<Case<SoftmaxCrossEntropy>> net_cases<SoftmaxCrossEntropy>(int batch, std::string_view net_name) {
  return collect<SoftmaxCrossEntropy>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    add("loss", {images, net.classes});
  });
}

template <>
std::vector<Case<OptimizerStep>> net_cases<OptimizerStep>(int batch, std::string_view net_name) {
  return collect<OptimizerStep>(batch, net_name, [](const NetLayers& net, int images, auto add) {
    const std::int64_t size = net.parameters() * images / net.batch;
    add("sgd", {size, OptimizerStep::Rule::sgd});
    add("adam", {size, OptimizerStep::Rule::adam});
    add("amsgrad", {size, OptimizerStep::Rule::amsgrad});
  });
}

template <>
std::vector<Case<RunningAverage>> net_cases<RunningAverage>(int batch, std::string_view net_name) {
  return collect<RunningAverage>(batch, net_name,
                                 [](const NetLayers& net, int, auto add) { add("statistics", {net.statistics()}); });
}

}  // namespace apam::cases
