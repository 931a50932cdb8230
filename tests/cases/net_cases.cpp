#include <algorithm>
#include <iterator>

#include "tests/cases/cases.h"
#include "tests/cases/nets.h"

namespace apam::cases {
namespace {

using namespace kernels;

/// The nets of these names, in their order; all of them for no name.
std::vector<NetLayers> nets_named(const std::vector<std::string>& names) {
  const std::vector<NetLayers> all{allcnn(), resnet18(), wide_resnet()};
  if (names.empty()) return all;
  std::vector<NetLayers> named;
  for (const std::string& name : names) {
    std::copy_if(all.begin(), all.end(), std::back_inserter(named), [&](const NetLayers& net) { return net.name == name; });
  }
  return named;
}

/// Calls visit(net, images, add) for each of the nets, where add(layer, problem) keeps a problem that is not in the list yet,
/// and counts one that is.
template <class Op, class Visit>
std::vector<Case<Op>> collect(int batch, const std::vector<std::string>& names, Visit visit) {
  std::vector<Case<Op>> cases;
  for (const NetLayers& net : nets_named(names)) {
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
std::vector<Case<Conv2d>> net_cases<Conv2d>(int batch, const std::vector<std::string>& nets) {
  return collect<Conv2d>(batch, nets, [](const NetLayers& net, int images, auto add) {
    for (const auto& conv : net.convs) {
      add(conv.name, {images, conv.size, conv.size, conv.in, conv.out, conv.window, conv.window, conv.stride, conv.padding});
    }
  });
}

template <>
std::vector<Case<BatchNorm>> net_cases<BatchNorm>(int batch, const std::vector<std::string>& nets) {
  return collect<BatchNorm>(batch, nets, [](const NetLayers& net, int images, auto add) {
    for (const auto& norm : net.norms)
      add(norm.name, {images * norm.size * norm.size, norm.channels, norm.residual, norm.relu});
  });
}

template <>
std::vector<Case<Relu>> net_cases<Relu>(int batch, const std::vector<std::string>& nets) {
  return collect<Relu>(batch, nets, [](const NetLayers& net, int images, auto add) {
    for (const auto& norm : net.norms) {
      if (norm.relu) add(norm.name + ".relu", {elements(images, norm.size, norm.channels)});
    }
  });
}

template <>
std::vector<Case<Add>> net_cases<Add>(int batch, const std::vector<std::string>& nets) {
  return collect<Add>(batch, nets, [](const NetLayers& net, int images, auto add) {
    for (const auto& sum : net.adds) add(sum.name, {elements(images, sum.size, sum.channels)});
  });
}

template <>
std::vector<Case<Scale>> net_cases<Scale>(int batch, const std::vector<std::string>& nets) {
  return collect<Scale>(batch, nets, [](const NetLayers& net, int images, auto add) {
    if (net.logits_factor != 1) add("logits", {std::int64_t{images} * net.classes, net.logits_factor});
  });
}

template <>
std::vector<Case<AvgPool>> net_cases<AvgPool>(int batch, const std::vector<std::string>& nets) {
  return collect<AvgPool>(batch, nets, [](const NetLayers& net, int images, auto add) {
    add("pool", {images, net.pool, net.pool, net.features, net.pool});
  });
}

template <>
std::vector<Case<Linear>> net_cases<Linear>(int batch, const std::vector<std::string>& nets) {
  return collect<Linear>(batch, nets, [](const NetLayers& net, int images, auto add) {
    if (net.linear) add("linear", {images, net.features, net.classes});
  });
}

template <>
std::vector<Case<SoftmaxCrossEntropy>> net_cases<SoftmaxCrossEntropy>(int batch, const std::vector<std::string>& nets) {
  return collect<SoftmaxCrossEntropy>(batch, nets, [](const NetLayers& net, int images, auto add) {
    add("loss", {images, net.classes});
  });
}

template <>
std::vector<Case<OptimizerStep>> net_cases<OptimizerStep>(int batch, const std::vector<std::string>& nets) {
  return collect<OptimizerStep>(batch, nets, [](const NetLayers& net, int images, auto add) {
    const std::int64_t size = net.parameters() * images / net.batch;
    add("sgd", {size, OptimizerStep::Rule::sgd});
    add("adam", {size, OptimizerStep::Rule::adam});
    add("amsgrad", {size, OptimizerStep::Rule::amsgrad});
  });
}

template <>
std::vector<Case<RunningAverage>> net_cases<RunningAverage>(int batch, const std::vector<std::string>& nets) {
  return collect<RunningAverage>(batch, nets,
                                 [](const NetLayers& net, int, auto add) { add("statistics", {net.statistics()}); });
}

}  // namespace apam::cases
