// For NAME.cpp of each operation, which defines one class of naive kernels per pass, lists them, and instantiates what other
// files use:
//
//   template <>
//   struct KernelsOf<Relu> : ByPass<Forward, Backward> {};
//   template std::unique_ptr<Relu::Kernel> make<Relu>(const Relu::Problem&, Relu::Pass);
//   template class kernels::SampleInputs<Relu>;
#pragma once

#include <span>
#include <string_view>
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

/// An operand that is read, as floats: its own memory, or a converted copy. Throws TypeError unless it has `type`; `name`
/// starts the message.
class FloatsIn {
 public:
  FloatsIn(In operand, DType type, std::string_view name) {
    if (type == DType::float32) {
      data_ = operand.as<float>(name).data();
    } else {
      const auto bits = operand.as<BFloat16>(name).host();
      converted_.assign(bits.begin(), bits.end());
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

/// An operand that is written, as floats: its own memory, or a converted copy, which the destructor rounds back. Throws like
/// FloatsIn.
class FloatsOut {
 public:
  FloatsOut(Out operand, DType type, std::string_view name) {
    if (type == DType::float32) {
      data_ = operand.as<float>(name).data();
    } else {
      rounded_ = operand.as<BFloat16>(name).host();
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
