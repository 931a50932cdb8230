// Trials of the optimizer step (weights around 0.05, gradients and their moments around 1e-3, as in training) and of the
// running average.
#include <cmath>

#include "kernels/reference/optimizer_step.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<OptimizerStep>::Operands {
  using Pass = OptimizerStep::Pass;
  using Rule = OptimizerStep::Rule;

  /// A vector that a step updates in place: what it starts from, and the vector itself; empty where the rule has none.
  struct Updated {
    Out before, now;  // (size)
  };

  Operands(Exec& exec, const OptimizerStep::Problem& p, std::uint64_t seed)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed),
        g(store.normal(size, kGradient)),
        w{store.normal(size, kWeight), store.unwritten(size)},
        m(moment(p.rule != Rule::sgd)),
        v(moment(p.rule != Rule::sgd)),
        vh(moment(p.rule == Rule::amsgrad)) {
    // Second moments are positive, and both v and vh are the larger one somewhere.
    for (const auto& second : {v, vh}) store.edit(second.before, [](float z, std::size_t) { return z * z; });
  }

  Updated moment(bool wanted) {
    if (!wanted) return {};
    return {store.normal(size, kGradient), store.unwritten(size)};
  }

  void run(Exec& exec, OptimizerStep::Kernel& kernel, Pass, Write) const {
    kernel.update(exec, scalars, g, w.now, {m.now, v.now, vh.now});
  }

  static bool accumulates(Pass) { return false; }

  std::vector<TrialOutput> outputs(Pass) const {
    std::vector<TrialOutput> all{{"w", w.now, 4, kWeight, w.before}};
    if (problem.rule != Rule::sgd) {
      all.push_back({"m", m.now, 4, kGradient, m.before});
      all.push_back({"v", v.now, 4, 0, v.before});
    }
    if (problem.rule == Rule::amsgrad) all.push_back({"vh", vh.now, 4, 0, vh.before});
    return all;
  }

  std::vector<TrialInput> inputs(Pass) const {
    std::vector<TrialInput> all{{"g", g}, {"w", w.before}};
    if (problem.rule != Rule::sgd) all.insert(all.end(), {{"m", m.before}, {"v", v.before}});
    if (problem.rule == Rule::amsgrad) all.push_back({"vh", vh.before});
    return all;
  }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<std::vector<double>> all{doubles(w.before), doubles(m.before), doubles(v.before), doubles(vh.before)};
    reference::optimizer_step<double>(problem, scalars, doubles(g).data(), all[0].data(),
                                      {all[1].data(), all[2].data(), all[3].data()});
    all.resize(outputs(Pass::update).size());
    return all;
  }

  double flops(Pass) const { return (problem.rule == Rule::sgd ? 4.0 : 14.0) * double(problem.size); }
  double bytes(Pass) const {
    const double updated = problem.rule == Rule::sgd ? 1 : problem.rule == Rule::adam ? 3 : 4;
    return sizeof(float) * (1 + 2 * updated) * double(problem.size);
  }

  static constexpr double kGradient = 1e-3, kWeight = 0.05;
  static constexpr OptimizerStep::Scalars scalars{.rate = 1e-3F, .weight_decay = 1e-3F};
  OptimizerStep::Problem problem;
  std::size_t size;
  OperandStore store;
  Out g;  // (size)
  Updated w, m, v, vh;
};

template <>
struct Trial<RunningAverage>::Operands {
  using Pass = RunningAverage::Pass;

  Operands(Exec& exec, const RunningAverage::Problem& p, std::uint64_t seed)
      : problem(p),
        size(static_cast<std::size_t>(p.size)),
        store(exec, seed),
        batch(store.normal(size)),
        before(store.normal(size)),
        running(store.unwritten(size)) {}

  void run(Exec& exec, RunningAverage::Kernel& kernel, Pass, Write) const { kernel.update(exec, kMomentum, batch, running); }
  static bool accumulates(Pass) { return false; }
  std::vector<TrialOutput> outputs(Pass) const { return {{"running", running, 2, 1, before}}; }

  std::vector<TrialInput> inputs(Pass) const { return {{"batch", batch}, {"running", before}}; }

  std::vector<std::vector<double>> expected(Pass) const {
    auto result = doubles(before);
    reference::running_average(problem, kMomentum, doubles(batch).data(), result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return 3.0 * double(problem.size); }
  double bytes(Pass) const { return sizeof(float) * 3.0 * double(problem.size); }

  static constexpr float kMomentum = 0.1F;
  RunningAverage::Problem problem;
  std::size_t size;
  OperandStore store;
  Out batch, before, running;  // (size)
};

template class Trial<OptimizerStep>;
template class Trial<RunningAverage>;

}  // namespace apam::kernels
