// KernelCheck<Op> in terms of its Rules. tests/cases/NAME.cpp defines them for its operation and instantiates KernelCheck:
//   struct Rules : kernels::Operands<Op>            the sample operands
//   accumulates, outputs, inputs, expected, flops, bytes   as in KernelCheck
//   reached                                                as in KernelCheck; only if operands reach further than their own
//   index
#pragma once

#include <cmath>
#include <utility>

#include "kernels/reference/operand_store.h"
#include "tests/support/fenced_memory.h"
#include "tests/support/kernel_check.h"

namespace apam::support {

/// Which elements of an operand are extreme: NaN, +-Inf, or so large that a product of two overflows.
inline std::vector<bool> extremes(In values) {
  constexpr double kLargestFactor = 0x1p63;
  std::vector<bool> marks;
  marks.reserve(values.size());
  for (const double value : kernels::doubles(values)) marks.push_back(!(std::abs(value) <= kLargestFactor));
  return marks;
}

template <class Op>
KernelCheck<Op>::KernelCheck(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed) {
  auto memory = std::make_unique<FencedMemory>(exec.device());
  memory_ = memory.get();
  rules_ = std::make_unique<Rules>(exec, problem, seed, std::move(memory));
  for (std::size_t pass = 0; pass < Op::pass_names.size(); ++pass) prepare(static_cast<Pass>(pass));
}

template <class Op>
KernelCheck<Op>::~KernelCheck() = default;

template <class Op>
void KernelCheck<Op>::prepare(Pass pass, kernels::Write write) {
  if constexpr (requires { rules_->refresh(); }) rules_->refresh();
  for (const CheckedOutput& output : rules_->outputs(pass)) {
    if (!output.before.empty()) {
      copy(output.before, output.values);
    } else if (write == kernels::Write::add && accumulates(pass)) {
      rules_->store.draw_normal(output.values);
    } else {
      rules_->store.make_unwritten(output.values);
    }
  }
}

template <class Op>
void KernelCheck<Op>::run(Exec& exec, Kernel& kernel, Pass pass, kernels::Write write) {
  rules_->run(exec, kernel, pass, write);
}

template <class Op>
bool KernelCheck<Op>::accumulates(Pass pass) {
  return Rules::accumulates(pass);
}

template <class Op>
std::vector<CheckedOutput> KernelCheck<Op>::outputs(Pass pass) {
  return rules_->outputs(pass);
}

template <class Op>
std::vector<std::vector<double>> KernelCheck<Op>::expected(Pass pass) {
  return rules_->expected(pass);
}

template <class Op>
std::vector<CheckedInput> KernelCheck<Op>::inputs(Pass pass) {
  return rules_->inputs(pass);
}

template <class Op>
std::vector<Reached> KernelCheck<Op>::reached(Pass pass) {
  if constexpr (requires { rules_->reached(pass); }) {
    return rules_->reached(pass);
  } else {
    std::vector<Reached> all;
    for (const CheckedOutput& output : rules_->outputs(pass)) {
      Reached& reached = all.emplace_back(output.values.size());
      for (const CheckedInput& input : rules_->inputs(pass)) {
        if (input.values.size() != reached.size()) continue;
        const auto marks = extremes(input.values);
        for (std::size_t e = 0; e < marks.size(); ++e) reached[e] = reached[e] || marks[e];
      }
    }
    return all;
  }
}

template <class Op>
bool KernelCheck<Op>::fences_intact() const {
  return memory_->intact();
}

template <class Op>
double KernelCheck<Op>::flops(Pass pass) const {
  return rules_->flops(pass);
}

template <class Op>
double KernelCheck<Op>::bytes(Pass pass) const {
  return rules_->bytes(pass);
}

}  // namespace apam::support
