// For NAME.cpp of each operation, which defines one class of naive kernels per pass, lists them, and instantiates what other
// files use:
//
//   template <>
//   struct KernelsOf<Relu> : ByPass<Forward, Backward> {};
//   template std::unique_ptr<Relu::Kernel> make<Relu>(const Relu::Problem&, Relu::Pass);
//   template class kernels::SampleInputs<Relu>;
#pragma once

#include <span>
#include <vector>

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

/// An operand that is read, as floats: its own memory, or a converted copy.
class FloatsIn {
 public:
  explicit FloatsIn(In operand) {
    if (operand.type() == DType::float32) {
      data_ = operand.as<float>("reference: an operand").data();
    } else {
      for (const BFloat16 value : operand.as<BFloat16>("reference: an operand").host()) converted_.push_back(value);
      data_ = converted_.data();
    }
  }
  /// Weights: rounded to bfloat16 if the activations have this type.
  FloatsIn(ConstSpan<float> weights, DType activations) : data_(weights.data()) {
    if (activations == DType::float32) return;
    for (const float value : weights.host()) converted_.push_back(BFloat16(value));
    data_ = converted_.data();
  }
  FloatsIn(const FloatsIn&) = delete;
  FloatsIn& operator=(const FloatsIn&) = delete;
  const float* data() const { return data_; }

 private:
  std::vector<float> converted_;
  const float* data_ = nullptr;
};

/// An operand that is written, as floats: its own memory, or a converted copy, which the destructor rounds back.
class FloatsOut {
 public:
  explicit FloatsOut(Out operand) {
    if (operand.type() == DType::float32) {
      data_ = operand.as<float>("reference: a result").data();
    } else {
      rounded_ = operand.as<BFloat16>("reference: a result").host();
      converted_.assign(rounded_.begin(), rounded_.end());
      data_ = converted_.data();
    }
  }
  ~FloatsOut() {
    for (std::size_t e = 0; e < rounded_.size(); ++e) rounded_[e] = BFloat16(converted_[e]);
  }
  FloatsOut(const FloatsOut&) = delete;
  FloatsOut& operator=(const FloatsOut&) = delete;
  float* data() const { return data_; }

 private:
  std::span<BFloat16> rounded_;
  std::vector<float> converted_;
  float* data_ = nullptr;
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
