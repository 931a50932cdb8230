// Named problems of every operation, for tests and benchmarks: those that the nets request, recorded in a dry run of each net
// (net_requests.h), and edge cases, which blocked and vectorised kernels get wrong first (NAME.cpp).
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/ops/kernel.h"
#include "tests/cases/net_requests.h"

namespace apam::cases {

template <class Op>
struct Case {
  Case(std::string case_name, const typename Op::Problem& of) : name(std::move(case_name)), problem(of) {}

  std::string name;  ///< "resnet18/layer2.0.conv1", "edge/5x5_window"
  typename Op::Problem problem;
  int layers = 1;                         ///< of the nets that have it
  std::vector<typename Op::Pass> passes;  ///< that the nets request; empty for edge cases
};

/// The problems of the nets, each once, under the name of the first layer that has it; in forward order. `batch` 0: the batch
/// that each net is trained with. `nets`: some of them ("resnet18"); empty: all.
template <class Op>
std::vector<Case<Op>> net_cases(int batch = 0, const std::vector<std::string>& nets = {});

/// Small problems off the common path: odd sizes, one row, windows of 1 and 5, strides, images that are not square. Defined in
/// NAME.cpp.
template <class Op>
std::vector<Case<Op>> edge_cases();

/// The cases, followed by the same ones in bfloat16 ("edge/1x1, bfloat16") if the operation has activations.
template <class Op>
std::vector<Case<Op>> in_each_type(std::vector<Case<Op>> cases) {
  if constexpr (requires(typename Op::Problem problem) { problem.type; }) {
    for (std::size_t i = 0, count = cases.size(); i < count; ++i) {
      Case<Op> same = cases[i];
      same.name += ", bfloat16";
      same.problem.type = DType::bfloat16;
      cases.push_back(std::move(same));
    }
  }
  return cases;
}

/// For operations on vectors: lengths around those of registers, cache lines and the share of a thread.
inline constexpr std::int64_t kEdgeLengths[] = {1, 7, 16, 17, 1000, 4099, 65537};

namespace detail {

/// The problems that one net requests.
template <class Op>
std::vector<Case<Op>> cases_of(const NetRequests& net) {
  std::vector<Case<Op>> cases;
  std::vector<std::vector<int>> counts;  // per case and pass: requests outside evaluations
  for (const Request<Op>& request : net.of<Op>()) {
    auto found = std::find_if(cases.begin(), cases.end(), [&](const auto& one) { return one.problem == request.problem; });
    if (found == cases.end()) {
      found = cases.insert(cases.end(), {fmt::format("{}/{}_{}", net.name, Op::name, cases.size() + 1), request.problem});
      counts.emplace_back(Op::pass_names.size());
    }
    auto& of_case = counts[static_cast<std::size_t>(found - cases.begin())];
    if (std::find(found->passes.begin(), found->passes.end(), request.pass) == found->passes.end()) {
      found->passes.push_back(request.pass);
    }
    // Layers get their names in backward order, so the first layer's name comes last.
    if (!request.layer.empty()) found->name = fmt::format("{}/{}", net.name, request.layer);
    if (request.phase != Phase::evaluation) ++of_case[static_cast<std::size_t>(request.pass)];
  }
  for (std::size_t i = 0; i < cases.size(); ++i) cases[i].layers = *std::max_element(counts[i].begin(), counts[i].end());
  return cases;
}

}  // namespace detail

template <class Op>
std::vector<Case<Op>> net_cases(int batch, const std::vector<std::string>& nets) {
  std::vector<Case<Op>> cases;
  for (const TrainedNet& net : trained_nets()) {
    if (!nets.empty() && std::find(nets.begin(), nets.end(), net.name) == nets.end()) continue;
    for (auto& one : detail::cases_of<Op>(requests_of(net, batch > 0 ? batch : net.batch))) {
      const auto known = std::find_if(cases.begin(), cases.end(), [&](const auto& c) { return c.problem == one.problem; });
      if (known == cases.end()) {
        cases.push_back(std::move(one));
      } else {
        known->layers += one.layers;
      }
    }
  }
  return cases;
}

}  // namespace apam::cases
