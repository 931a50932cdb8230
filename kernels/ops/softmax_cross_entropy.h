// Log-softmax with the negative log-likelihood of one label per row (cross-entropy of the softmax):
//   p[i,:] = softmax(logits[i,:]);   loss_i = -log p[i, label_i];   d loss_i / d logits[i,j] = p[i,j] - [j == label_i]
// Forward computes the loss, the counts for accuracy, and the probabilities that backward reads.
// A row with a NaN or +Inf logit, or with only -Inf logits, has loss and probabilities of NaN. A label with logit -Inf has a
// loss of +Inf. Other logits of -Inf have probability 0.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct SoftmaxCrossEntropy {
  static constexpr std::string_view name = "softmax_cross_entropy";

  struct Problem {
    int n, classes;               ///< logits: (N, classes)
    DType type = DType::float32;  ///< of logits and their gradient; probabilities and sums are float32

    std::size_t size() const { return std::size_t(n) * classes; }
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  /// What forward writes to `sums` (3), over all rows: the sum of losses, the number of rows whose label ranks first, and the
  /// number whose label ranks among the first five. The rank of a label is the number of classes with a larger or NaN logit,
  /// plus those with an equal logit and a lower index. A label whose logit is not finite has no rank and counts in neither.
  enum Sum : std::uint8_t { loss_sum, top1_count, top5_count, sum_count };

  enum class Pass : std::uint8_t { forward, backward };
  static constexpr std::array<std::string_view, 2> pass_names{"forward", "backward"};

  /// A function throws KernelError if the kernel was made for another pass.
  class Kernel {
   public:
    virtual ~Kernel() = default;
    /// Labels must be in 0 .. classes-1: they are not checked.
    virtual void forward(Exec&, In logits, Labels labels, Span<float> probabilities, Span<float> sums);
    /// dlogits = scale[0] * (probabilities - onehot(labels)); scale[0] is 1 / rows for a mean over the batch.
    virtual void backward(Exec&, ConstSpan<float> probabilities, Labels labels, ConstSpan<float> scale, Out dlogits);
  };
};

}  // namespace apam::kernels
