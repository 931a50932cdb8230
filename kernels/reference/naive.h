// For NAME.cpp of each operation, which defines one class of naive kernels per pass, lists them, and instantiates what other
// files use:
//
//   template <>
//   struct KernelsOf<Relu> : ByPass<Forward, Backward> {};
//   template std::unique_ptr<Relu::Kernel> make<Relu>(const Relu::Problem&, Relu::Pass);
//   template class kernels::SampleInputs<Relu>;
#pragma once

#include "kernels/ops/sample_inputs.h"
#include "kernels/reference/make.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {
namespace reference {

/// A naive kernel: the contract of `Op` and a problem.
template <class Op>
class Naive : public Op::Kernel {
 public:
  explicit Naive(const typename Op::Problem& problem) : problem_(problem) {}

 protected:
  const typename Op::Problem problem_;
};

/// The classes of an operation's kernels, in the order of Op::Pass.
template <class Op>
struct KernelsOf;

template <class... Kernels>
struct ByPass {
  template <class Op>
  static std::unique_ptr<typename Op::Kernel> make(const typename Op::Problem& problem, typename Op::Pass pass) {
    return make_by_pass<Op, Kernels...>(pass, problem);
  }
};

template <class Op>
std::unique_ptr<typename Op::Kernel> make(const typename Op::Problem& problem, typename Op::Pass pass) {
  return KernelsOf<Op>::template make<Op>(problem, pass);
}

}  // namespace reference

template <class Op>
SampleInputs<Op>::SampleInputs(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed)
    : operands_(std::make_unique<Operands<Op>>(exec, problem, seed, std::make_unique<Buffers>(exec.device()))) {}

template <class Op>
SampleInputs<Op>::~SampleInputs() = default;

template <class Op>
void SampleInputs<Op>::run(Exec& exec, typename Op::Kernel& kernel, typename Op::Pass pass) {
  operands_->run(exec, kernel, pass, Write::overwrite);
}

}  // namespace apam::kernels
