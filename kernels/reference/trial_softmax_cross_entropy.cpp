// Trial<SoftmaxCrossEntropy>: normal logits of deviation 2, cut to multiples of 1/4 so that rows hold ties.
#include <algorithm>
#include <cmath>

#include "kernels/reference/softmax_cross_entropy.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<SoftmaxCrossEntropy>::Operands {
  using Pass = SoftmaxCrossEntropy::Pass;

  Operands(Exec& exec, const SoftmaxCrossEntropy::Problem& p, std::uint64_t seed)
      : problem(p),
        scale(1.0F / static_cast<float>(p.n)),
        store(exec, seed),
        logits(store.normal(p.size(), 2)),
        labels(store.labels(std::size_t(p.n), p.classes)),
        saved_probabilities(store.unwritten(p.size())),
        probabilities(store.unwritten(p.size())),
        sums(store.unwritten(SoftmaxCrossEntropy::sum_count)),
        dlogits(store.unwritten(p.size())) {
    store.edit(logits, [](float z, std::size_t) { return std::round(4 * z) / 4; });
    const auto saved = expected(Pass::forward).front();
    store.edit(saved_probabilities, [&](float, std::size_t e) { return saved[e]; });
  }

  void run(Exec& exec, SoftmaxCrossEntropy::Kernel& kernel, Pass pass, Write) const {
    if (pass == Pass::forward) return kernel.forward(exec, logits, labels, probabilities, sums);
    kernel.backward(exec, saved_probabilities, labels, scale, dlogits);
  }

  static bool accumulates(Pass) { return false; }

  std::vector<TrialOutput> outputs(Pass pass) const {
    if (pass == Pass::backward) return {{"dlogits", dlogits, 2}};
    const std::int64_t classes = problem.classes;
    // Counts are exact: whole numbers far below 2^24.
    return {{"probabilities", probabilities, classes},
            {"loss_sum", sums.subspan(SoftmaxCrossEntropy::loss_sum, 1), classes + problem.n, double(problem.n)},
            {"counts", sums.subspan(SoftmaxCrossEntropy::top1_count, 2), 0}};
  }

  std::vector<TrialInput> inputs(Pass pass) const {
    if (pass == Pass::forward) return {{"logits", logits}};
    return {{"probabilities", saved_probabilities}};
  }

  /// A row, and the loss; never the counts.
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
    copy<std::int32_t>(labels, {host_labels.data(), host_labels.size()});
    std::vector<double> result(problem.size());
    if (pass == Pass::backward) {
      reference::softmax_cross_entropy_backward(problem, doubles(saved_probabilities).data(), host_labels.data(), scale,
                                                result.data());
      return {result};
    }
    std::vector<double> totals(SoftmaxCrossEntropy::sum_count);
    reference::softmax_cross_entropy_forward(problem, doubles(logits).data(), host_labels.data(), result.data(), totals.data());
    return {result, {totals[SoftmaxCrossEntropy::loss_sum]}, {totals.begin() + SoftmaxCrossEntropy::top1_count, totals.end()}};
  }

  double flops(Pass pass) const { return (pass == Pass::forward ? 4.0 : 2.0) * double(problem.size()); }
  double bytes(Pass) const { return sizeof(float) * 2.0 * double(problem.size()); }

  SoftmaxCrossEntropy::Problem problem;
  float scale;
  OperandStore store;
  Out logits;                              // (N, classes)
  Labels labels;                           // (N)
  Out saved_probabilities, probabilities;  // (N, classes)
  Out sums;                                // (3)
  Out dlogits;                             // (N, classes)
};

template class Trial<SoftmaxCrossEntropy>;

}  // namespace apam::kernels
