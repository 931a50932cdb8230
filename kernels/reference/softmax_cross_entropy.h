// p[i,:] = softmax(logits[i,:]);   loss_i = -log p[i, label_i];   dlogits[i,j] = scale * (p[i,j] - [j == label_i]).
// The largest logit is subtracted first, so that no exponential overflows. For logits that are not finite see kernels/ops.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/ops/softmax_cross_entropy.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void softmax_cross_entropy_forward(const SoftmaxCrossEntropy::Problem& p, const T* logits, const std::int32_t* labels,
                                   T* probabilities, T* sums) {
  double loss = 0;
  std::int64_t top1 = 0, top5 = 0;
  for (int i = 0; i < p.n; ++i) {
    const T* row = logits + std::size_t(i) * p.classes;  // (classes)
    const int label = labels[i];
    const double largest = *std::max_element(row, row + p.classes);
    double total = 0;
    for (int j = 0; j < p.classes; ++j) total += std::exp(row[j] - largest);
    int rank = 0;
    for (int j = 0; j < p.classes; ++j) {
      probabilities[std::size_t(i) * p.classes + j] = static_cast<T>(std::exp(row[j] - largest) / total);
      if (row[j] > row[label] || std::isnan(row[j]) || (row[j] == row[label] && j < label)) ++rank;
    }
    loss += std::log(total) + largest - row[label];
    const bool ranked = std::isfinite(row[label]);
    top1 += ranked && rank < 1 ? 1 : 0;
    top5 += ranked && rank < 5 ? 1 : 0;
  }
  sums[SoftmaxCrossEntropy::loss_sum] = static_cast<T>(loss);
  sums[SoftmaxCrossEntropy::top1_count] = static_cast<T>(top1);
  sums[SoftmaxCrossEntropy::top5_count] = static_cast<T>(top5);
}

template <class T>
void softmax_cross_entropy_backward(const SoftmaxCrossEntropy::Problem& p, const T* probabilities, const std::int32_t* labels,
                                    double scale, T* dlogits) {
  for (int i = 0; i < p.n; ++i) {
    for (int j = 0; j < p.classes; ++j) {
      const std::size_t e = std::size_t(i) * p.classes + j;
      dlogits[e] = static_cast<T>(scale * (probabilities[e] - (j == labels[i] ? 1 : 0)));
    }
  }
}

}  // namespace apam::kernels::reference
