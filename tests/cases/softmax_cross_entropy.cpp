// Softmax cross-entropy: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/softmax_cross_entropy_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<SoftmaxCrossEntropy>::Rules : Operands<SoftmaxCrossEntropy> {
  using Operands::Operands;

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass pass) const {
    if (pass == Pass::backward) return {{"dlogits", dlogits, 2}};
    const std::int64_t classes = problem.classes;
    // Counts are exact: whole numbers far below 2^24.
    return {{"probabilities", probabilities, classes},
            {"loss_sum", sums.subspan(SoftmaxCrossEntropy::loss_sum, 1), classes + problem.n, double(problem.n)},
            {"counts", sums.subspan(SoftmaxCrossEntropy::top1_count, 2), 0}};
  }

  std::vector<CheckedInput> inputs(Pass pass) const {
    if (pass == Pass::forward) return {{"logits", logits}};
    return {{"probabilities", saved_probabilities}};
  }

  /// The row and the loss, but not the counts.
  std::vector<Reached> reached(Pass pass) const {
    const Reached marks = extremes(inputs(pass).front().values);
    if (pass == Pass::backward) return {marks};
    const auto classes = static_cast<std::size_t>(problem.classes);
    Reached rows(marks.size()), loss(1);
    for (std::size_t e = 0; e < marks.size(); ++e) {
      if (!marks[e]) continue;
      loss[0] = true;
      for (std::size_t j = 0; j < classes; ++j) rows[e / classes * classes + j] = true;
    }
    return {rows, loss, Reached(2)};
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    std::vector<std::int32_t> host_labels(labels.size());
    copy(labels, Span<std::int32_t>(std::span(host_labels)));
    std::vector<double> result(problem.size());
    if (pass == Pass::backward) {
      reference::softmax_cross_entropy_backward(problem, doubles(saved_probabilities).data(), host_labels.data(),
                                                doubles(scale).front(), result.data());
      return {result};
    }
    std::vector<double> totals(SoftmaxCrossEntropy::sum_count);
    reference::softmax_cross_entropy_forward(problem, doubles(logits).data(), host_labels.data(), result.data(), totals.data());
    return {result, {totals[SoftmaxCrossEntropy::loss_sum]}, {totals.begin() + SoftmaxCrossEntropy::top1_count, totals.end()}};
  }

  double flops(Pass pass) const { return (pass == Pass::forward ? 4.0 : 2.0) * double(problem.size()); }

  double bytes(Pass) const { return double(sizeof(float) + size_of(problem.type)) * double(problem.size()); }
};

template class support::KernelCheck<SoftmaxCrossEntropy>;

template <>
std::vector<cases::Case<SoftmaxCrossEntropy>> cases::edge_cases<SoftmaxCrossEntropy>() {
  return {
      {"edge/one_class", {.n = 3, .classes = 1}},   {"edge/2_classes", {.n = 5, .classes = 2}},
      {"edge/batch_1", {.n = 1, .classes = 10}},    {"edge/odd", {.n = 33, .classes = 7}},
      {"edge/17_classes", {.n = 4, .classes = 17}}, {"edge/many_rows", {.n = 1025, .classes = 11}},
  };
}

}  // namespace apam
