// Sample operands of the loss: normal logits of deviation 2, rounded to multiples of 1/4 so that rows have ties.
#pragma once

#include "kernels/reference/operand_store.h"
#include "kernels/reference/softmax_cross_entropy.h"

namespace apam::kernels {

template <>
struct Operands<SoftmaxCrossEntropy> {
  using Pass = SoftmaxCrossEntropy::Pass;

  Operands(Exec& exec, const SoftmaxCrossEntropy::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        store(exec, seed, std::move(memory), p.type),
        logits(store.activations(p.size(), 2)),
        labels(store.labels(std::size_t(p.n), p.classes)),
        saved_probabilities(store.unwritten(p.size())),
        probabilities(store.unwritten(p.size())),
        sums(store.unwritten(SoftmaxCrossEntropy::sum_count)),
        scale(store.unwritten(1)),
        dlogits(store.unwritten_activations(p.size())) {
    store.edit(logits, [](float z, std::size_t) { return std::round(4 * z) / 4; });
    store.edit(scale, [n = p.n](float, std::size_t) { return 1.0F / static_cast<float>(n); });
    save_forward_pass();
  }

  /// Fills saved_probabilities.
  void save_forward_pass() {
    std::vector<std::int32_t> host_labels(labels.size());
    copy(labels, Span<std::int32_t>(host_labels.data(), host_labels.size()));
    std::vector<double> values(problem.size()), totals(SoftmaxCrossEntropy::sum_count);
    reference::softmax_cross_entropy_forward(problem, doubles(logits).data(), host_labels.data(), values.data(), totals.data());
    store.edit(saved_probabilities, [&](float, std::size_t e) { return values[e]; });
  }

  void run(Exec& exec, SoftmaxCrossEntropy::Kernel& kernel, Pass pass, Write) const {
    if (pass == Pass::forward) return kernel.forward(exec, logits, labels, probabilities, sums);
    kernel.backward(exec, saved_probabilities, labels, scale, dlogits);
  }

  SoftmaxCrossEntropy::Problem problem;
  OperandStore store;
  Out logits;                                      // (N, classes)
  Labels labels;                                   // (N)
  Span<float> saved_probabilities, probabilities;  // (N, classes)
  Span<float> sums;                                // (3)
  Span<float> scale;                               // (1)
  Out dlogits;                                     // (N, classes)
};

}  // namespace apam::kernels
