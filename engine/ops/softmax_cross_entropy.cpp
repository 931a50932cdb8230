#include "kernels/ops/softmax_cross_entropy.h"

#include "engine/ops/ops.h"

namespace apam::engine {
namespace {

using SoftmaxCrossEntropyOp = kernels::SoftmaxCrossEntropy;

/// The root of backward: has no output gradient.
class SoftmaxCrossEntropyNode final : public Node {
 public:
  SoftmaxCrossEntropyNode(const SoftmaxCrossEntropyOp::Problem& problem, const Var& logits, Var probabilities,
                          const LossOperands& operands)
      : problem_(problem), d_logits_(logits), probabilities_(std::move(probabilities)), operands_(operands) {}

  void backward(Tape& tape) override {
    if (!d_logits_.needs_gradient()) return;
    const auto d_logits = tape.sink(d_logits_);
    require<KernelError>(d_logits.write == kernels::Write::overwrite,
                         "softmax_cross_entropy: logits of {} rows must have no other use", problem_.n);
    kernels::kernel<SoftmaxCrossEntropyOp>(tape.exec(), problem_, SoftmaxCrossEntropyOp::Pass::backward)
        ->backward(tape.exec(), probabilities_.floats(), operands_.labels, operands_.gradient_scale, d_logits.data);
  }

 private:
  SoftmaxCrossEntropyOp::Problem problem_;
  Edge d_logits_;
  Var probabilities_;  // (N, classes)
  LossOperands operands_;
};

}  // namespace

void softmax_cross_entropy(const Var& logits, const LossOperands& operands) {
  const Shape& shape = logits.shape();
  require<ShapeError>(shape.rank() >= 2 && shape[0] > 0, "softmax_cross_entropy: logits must be (N, classes), got {}", shape);
  const int classes = static_cast<int>(shape.size() / static_cast<std::size_t>(shape[0]));
  require<ShapeError>(classes == shape[shape.rank() - 1], "softmax_cross_entropy: logits must be (N, classes), got {}", shape);
  require<ShapeError>(operands.labels.size() == static_cast<std::size_t>(shape[0]),
                      "softmax_cross_entropy: {} labels for {} rows", operands.labels.size(), shape[0]);
  require<ShapeError>(operands.gradient_scale.size() == 1 && operands.sums.size() == SoftmaxCrossEntropyOp::sum_count,
                      "softmax_cross_entropy: {} gradient scales and {} sums, expected 1 and {}",
                      operands.gradient_scale.size(), operands.sums.size(), int{SoftmaxCrossEntropyOp::sum_count});
  Tape& tape = logits.tape();
  const SoftmaxCrossEntropyOp::Problem problem{shape[0], classes, logits.type()};
  Var probabilities = tape.scratch({problem.n, classes});
  kernels::kernel<SoftmaxCrossEntropyOp>(tape.exec(), problem, SoftmaxCrossEntropyOp::Pass::forward)
      ->forward(tape.exec(), logits.data(), operands.labels, probabilities.floats(), operands.sums);
  if (tape.recording()) tape.record<SoftmaxCrossEntropyNode>(problem, logits, std::move(probabilities), operands);
}

BatchScore batch_score(ConstSpan<float> sums, int rows) {
  require<ShapeError>(sums.size() == SoftmaxCrossEntropyOp::sum_count, "batch score: {} sums, expected {}", sums.size(),
                      int{SoftmaxCrossEntropyOp::sum_count});
  const auto of = sums.host();
  return {double{of[SoftmaxCrossEntropyOp::loss_sum]}, static_cast<int>(of[SoftmaxCrossEntropyOp::top1_count]),
          static_cast<int>(of[SoftmaxCrossEntropyOp::top5_count]), rows};
}

}  // namespace apam::engine
