#include "kernels/reference/softmax_cross_entropy.h"

#include "kernels/reference/naive.h"
#include "kernels/reference/softmax_cross_entropy_sample.h"

namespace apam::kernels {
namespace reference {

class SoftmaxCrossEntropyForward final : public Naive<SoftmaxCrossEntropy> {
 public:
  using Naive::Naive;
  void forward(Exec&, In logits, Labels labels, Span<float> probabilities, Span<float> sums) override {
    softmax_cross_entropy_forward(problem_, FloatsIn(logits, problem_.type, "softmax_cross_entropy: logits").data(),
                                  labels.data(), probabilities.data(), sums.data());
  }
};

class SoftmaxCrossEntropyBackward final : public Naive<SoftmaxCrossEntropy> {
 public:
  using Naive::Naive;
  void backward(Exec&, ConstSpan<float> probabilities, Labels labels, ConstSpan<float> scale, Out dlogits) override {
    softmax_cross_entropy_backward(problem_, probabilities.data(), labels.data(), *scale.data(),
                                   FloatsOut(dlogits, problem_.type, "softmax_cross_entropy: dlogits").data());
  }
};

template <>
struct KernelsOf<SoftmaxCrossEntropy> : ByPass<SoftmaxCrossEntropyForward, SoftmaxCrossEntropyBackward> {};
template std::unique_ptr<SoftmaxCrossEntropy::Kernel> make<SoftmaxCrossEntropy>(const SoftmaxCrossEntropy::Problem&,
                                                                                SoftmaxCrossEntropy::Pass);

}  // namespace reference

template class SampleInputs<SoftmaxCrossEntropy>;

}  // namespace apam::kernels
