// The flat weights rounded to bfloat16: the third flat span of a model, for products of activations in bfloat16 on a GPU. An
// optimizer writes it in its pass (kernels/ops/optimizer_step.h), at 2 bytes per weight; otherwise a step rounds the weights
// once, in place of each convolution in each pass.
//
// Weights may also be replaced by other code: a file is read, an exchange delivers a version. So the copy counts as current
// only for the first step after an update: refresh() uses up what written() has said. Code that replaces weights between an
// update and that step calls outdate().
#pragma once

#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

class RoundedWeights {
 public:
  RoundedWeights(Device device, std::size_t size) : device_(device), size_(size) {}

  /// Allocates the copy, unless there is one. A step calls it that will read it.
  void keep() {
    if (values_.size_bytes() != 0) return;
    values_ = Buffer(device_, size_ * sizeof(BFloat16));
    current_ = false;
  }
  /// (size), or empty if no step reads a copy.
  Span<BFloat16> values() const { return values_.as<BFloat16>(); }

  /// An update has written weights and, if there is one, copy.
  void written() { current_ = true; }
  /// Weights of which an update wrote the copy are replaced before the next step.
  void outdate() { current_ = false; }
  /// Before a step: rounds the weights, unless the copy is current, in order with the other work of `exec`. Nothing without a
  /// copy.
  void refresh(Exec& exec, ConstSpan<float> weights);

 private:
  Device device_;
  std::size_t size_;
  Buffer values_;
  bool current_ = false;
};

/// Whether steps of this Exec read the copy: on a GPU, with activations in bfloat16. Kernels on the CPU round weights as they
/// pack them.
inline bool reads_rounded_weights(const Exec& exec) {
  return exec.device().kind == DeviceKind::cuda && exec.options().activations == DType::bfloat16;
}

}  // namespace apam::engine
