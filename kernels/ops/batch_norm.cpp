#include "kernels/ops/batch_norm.h"

namespace apam::kernels {

std::string BatchNorm::Problem::describe() const {
  return fmt::format("{}x{}{}{}{}", rows, c, residual ? " + residual" : "", relu ? ", relu" : "", suffix(type));
}

void BatchNorm::Kernel::forward_training(Exec&, In, In, ConstSpan<float>, ConstSpan<float>, Out, const BatchStatistics&) {
  fail_other_pass<BatchNorm>(Pass::forward_training);
}
void BatchNorm::Kernel::forward_inference(Exec&, In, In, ConstSpan<float>, ConstSpan<float>, ConstSpan<float>, ConstSpan<float>,
                                          Out) {
  fail_other_pass<BatchNorm>(Pass::forward_inference);
}
void BatchNorm::Kernel::backward(Exec&, In, const Saved&, ConstSpan<float>, const Gradients&) {
  fail_other_pass<BatchNorm>(Pass::backward);
}

}  // namespace apam::kernels
