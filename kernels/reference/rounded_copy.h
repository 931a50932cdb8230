// Sample weights of a product, with a copy in bfloat16 where training has one: on a GPU, for problems in bfloat16.
#pragma once

#include "kernels/ops/weights.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

class RoundedCopy {
 public:
  RoundedCopy(OperandStore& store, Device device, DType activations, Span<float> weights) : weights_(weights) {
    if (device.kind != DeviceKind::cuda || activations != DType::bfloat16) return;
    copy_ = store.unwritten_of(DType::bfloat16, weights.size());
    refresh();
  }

  /// After a change of the weights.
  void refresh() const {
    if (!copy_.empty()) write_values(OnHost(weights_).values(), copy_);
  }
  Weights weights() const { return {weights_, copy_.as<BFloat16>("sample")}; }

 private:
  Span<float> weights_;
  Out copy_;
};

}  // namespace apam::kernels
