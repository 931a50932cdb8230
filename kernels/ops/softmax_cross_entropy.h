// Log-softmax with the negative log-likelihood of one label a row (equally: cross-entropy of the softmax):
//   p[i,:] = softmax(logits[i,:]);   loss_i = -log p[i, label_i];   d loss_i / d logits[i,j] = p[i,j] - [j == label_i]
// One forward pass gives the loss, the counts that accuracy needs, and the probabilities that backward starts from.
// A row with a logit that is NaN or +Inf, or with -Inf throughout, has a loss of NaN and probabilities of NaN. A label whose
// logit is -Inf has a loss of +Inf. Other logits of -Inf are impossible classes: their probability is 0.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct SoftmaxCrossEntropy {
  static constexpr std::string_view name = "softmax_cross_entropy";

  struct Problem {
    int n, classes;  ///< logits: (N, classes)

    std::size_t size() const { return std::size_t(n) * classes; }
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  /// What forward writes to `sums` (3), over all rows: the sum of losses, rows whose label is first, rows whose label is
  /// among the first five. Rank of a label: classes whose logit is larger or NaN, plus those as large with a lower index (the
  /// tie-break: the lower index comes first). A label whose logit is not finite has no rank, and counts in neither.
  enum Sum : std::uint8_t { loss_sum, top1_count, top5_count, sum_count };

  enum class Pass : std::uint8_t { forward, backward };
  static constexpr std::array<std::string_view, 2> pass_names{"forward", "backward"};

  /// Each function throws KernelError in a kernel that was made for another pass.
  class Kernel {
   public:
    virtual ~Kernel() = default;
    /// Labels must lie in 0 .. classes-1; the engine checks them before.
    virtual void forward(Exec&, In logits, Labels labels, Out probabilities, Out sums);
    /// dlogits = scale * (probabilities - onehot(labels)); scale is 1 / rows for a mean over the batch.
    virtual void backward(Exec&, In probabilities, Labels labels, float scale, Out dlogits);
  };
};

}  // namespace apam::kernels
