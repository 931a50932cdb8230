// Trial<Op> in terms of its Operands, which each trial_*.cpp defines for its operations before it instantiates Trial:
//   Operands(Exec&, const Problem&, seed)      draws
//   OperandStore store                         holds what was drawn
//   run, accumulates, outputs, inputs, expected, flops, bytes   as in Trial
//   reached                    as in Trial, for operations whose operands reach further than the element at their own place
#pragma once

#include <utility>

#include "kernels/ops/trial.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

template <class Op>
Trial<Op>::Trial(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed)
    : operands_(std::make_unique<Operands>(exec, problem, seed)) {
  for (std::size_t pass = 0; pass < Op::pass_names.size(); ++pass) prepare(static_cast<typename Op::Pass>(pass));
}

template <class Op>
Trial<Op>::~Trial() = default;

template <class Op>
void Trial<Op>::prepare(typename Op::Pass pass, Write write) {
  for (const TrialOutput& output : operands_->outputs(pass)) {
    if (!output.before.empty()) {
      copy(output.before, output.values);
    } else if (write == Write::add && accumulates(pass)) {
      operands_->store.draw_normal(output.values);
    } else {
      operands_->store.make_unwritten(output.values);
    }
  }
}

template <class Op>
void Trial<Op>::run(Exec& exec, typename Op::Kernel& kernel, typename Op::Pass pass, Write write) {
  operands_->run(exec, kernel, pass, write);
}

template <class Op>
bool Trial<Op>::accumulates(typename Op::Pass pass) {
  return Operands::accumulates(pass);
}

template <class Op>
std::vector<TrialOutput> Trial<Op>::outputs(typename Op::Pass pass) {
  return operands_->outputs(pass);
}

template <class Op>
std::vector<std::vector<double>> Trial<Op>::expected(typename Op::Pass pass) {
  return operands_->expected(pass);
}

template <class Op>
std::vector<TrialInput> Trial<Op>::inputs(typename Op::Pass pass) {
  return operands_->inputs(pass);
}

template <class Op>
std::vector<Reached> Trial<Op>::reached(typename Op::Pass pass) {
  if constexpr (requires { operands_->reached(pass); }) {
    return operands_->reached(pass);
  } else {
    std::vector<Reached> all;
    for (const TrialOutput& output : operands_->outputs(pass)) {
      all.emplace_back(output.values.size());
      for (const TrialInput& input : operands_->inputs(pass)) {
        if (input.values.size() == output.values.size()) mark(all.back(), extremes(input.values));
      }
    }
    return all;
  }
}

template <class Op>
bool Trial<Op>::fences_intact() const {
  return operands_->store.fences_intact();
}

template <class Op>
double Trial<Op>::flops(typename Op::Pass pass) const {
  return operands_->flops(pass);
}

template <class Op>
double Trial<Op>::bytes(typename Op::Pass pass) const {
  return operands_->bytes(pass);
}

}  // namespace apam::kernels
