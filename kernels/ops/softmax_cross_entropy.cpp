#include "kernels/ops/softmax_cross_entropy.h"

namespace apam::kernels {

std::string SoftmaxCrossEntropy::Problem::describe() const { return fmt::format("{}x{}{}", n, classes, suffix(type)); }

void SoftmaxCrossEntropy::Kernel::forward(Exec&, In, Labels, Span<float>, Span<float>) {
  fail_other_pass<SoftmaxCrossEntropy>(Pass::forward);
}
void SoftmaxCrossEntropy::Kernel::backward(Exec&, ConstSpan<float>, Labels, ConstSpan<float>, Out) {
  fail_other_pass<SoftmaxCrossEntropy>(Pass::backward);
}

}  // namespace apam::kernels
