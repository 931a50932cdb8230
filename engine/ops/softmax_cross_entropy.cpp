#include "kernels/ops/softmax_cross_entropy.h"

#include <array>

#include "engine/ops/ops.h"

namespace apam::engine {
namespace {

using Op = kernels::SoftmaxCrossEntropy;

/// The root of backward: has no output gradient.
class SoftmaxCrossEntropyNode final : public Node {
 public:
  SoftmaxCrossEntropyNode(const Op::Problem& problem, const Var& logits, Var probabilities, Labels labels, float gradient_scale)
      : problem_(problem),
        d_logits_(logits),
        probabilities_(std::move(probabilities)),
        labels_(labels),
        scale_(gradient_scale) {}

  void backward(Tape& tape) override {
    if (!d_logits_.needs_gradient()) return;
    const auto d_logits = tape.sink(d_logits_);
    require<KernelError>(d_logits.write == kernels::Write::overwrite,
                         "softmax_cross_entropy: logits of {} rows must have no other use", problem_.n);
    kernels::kernel<Op>(tape.exec(), problem_, Op::Pass::backward)
        ->backward(tape.exec(), probabilities_.floats(), labels_, scale_, d_logits.data);
  }

 private:
  Op::Problem problem_;
  Edge d_logits_;
  Var probabilities_;  // (N, classes)
  Labels labels_;      // (N)
  float scale_;
};

}  // namespace

BatchScore softmax_cross_entropy(const Var& logits, Labels labels, float gradient_scale) {
  const Shape& shape = logits.shape();
  require<ShapeError>(shape.rank() >= 2 && shape[0] > 0, "softmax_cross_entropy: logits must be (N, classes), got {}", shape);
  const int classes = static_cast<int>(shape.size() / static_cast<std::size_t>(shape[0]));
  require<ShapeError>(classes == shape[shape.rank() - 1], "softmax_cross_entropy: logits must be (N, classes), got {}", shape);
  require<ShapeError>(labels.size() == static_cast<std::size_t>(shape[0]), "softmax_cross_entropy: {} labels for {} rows",
                      labels.size(), shape[0]);
  for (const std::int32_t label : labels.host()) {
    require<InputError>(label >= 0 && label < classes, "softmax_cross_entropy: label {} is not in 0 .. {}", label, classes - 1);
  }
  Tape& tape = logits.tape();
  const Op::Problem problem{shape[0], classes, logits.type()};
  Var probabilities = tape.scratch({problem.n, classes});
  std::array<float, Op::sum_count> sums{};
  const Var device_sums = tape.scratch({Op::sum_count});
  kernels::kernel<Op>(tape.exec(), problem, Op::Pass::forward)
      ->forward(tape.exec(), logits.data(), labels, probabilities.floats(), device_sums.floats());
  copy(tape.exec(), device_sums.data(), Span<float>(sums.data(), sums.size()));
  tape.exec().synchronize();
  if (tape.recording()) tape.record<SoftmaxCrossEntropyNode>(problem, logits, std::move(probabilities), labels, gradient_scale);
  return {double{sums[Op::loss_sum]}, static_cast<int>(sums[Op::top1_count]), static_cast<int>(sums[Op::top5_count]),
          problem.n};
}

}  // namespace apam::engine
