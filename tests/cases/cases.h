// Named problems of every operation, shared by tests and benchmarks: those that the three nets contain (derived from their
// structure in nets.cpp), and awkward ones that blocked and vectorised kernels get wrong first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/ops/all.h"

namespace apam::cases {

template <class Op>
struct Case {
  std::string name;  ///< "resnet18/layer2.0.conv1", "awkward/5x5_window"
  typename Op::Problem problem;
  int layers = 1;  ///< that have it, in all the nets that were asked for
};

/// The problems of AllCNN, ResNet18 and WRN-28-5 (1000 classes), each once, under the name of the first layer that has it.
/// `batch` 0: the batch that each net is trained with (100, 80, 100). With another batch the flat vectors of the optimizer
/// shrink in proportion, so that a quick run is quick throughout. `nets` names some of them ("resnet18"); empty: all three.
template <class Op>
std::vector<Case<Op>> net_cases(int batch = 0, const std::vector<std::string>& nets = {});

/// Small problems off the beaten track: odd sizes, one row, windows of 1 and 5, strides, images that are not square.
template <class Op>
std::vector<Case<Op>> awkward_cases();

}  // namespace apam::cases
