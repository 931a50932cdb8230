// Trial<BatchNorm>: every channel of x has a mean (deviation 1/2) and a deviation (1/2 to 3/2) of its own; gamma is around 1,
// beta around 0. What backward needs of the forward pass (y, mean, inv_std) comes from the naive loops.
#include <algorithm>
#include <cmath>

#include "kernels/reference/batch_norm.h"
#include "kernels/reference/trial_impl.h"

namespace apam::kernels {

template <>
struct Trial<BatchNorm>::Operands {
  using Pass = BatchNorm::Pass;

  Operands(Exec& exec, const BatchNorm::Problem& p, std::uint64_t seed)
      : problem(p),
        channels(static_cast<std::size_t>(p.c)),
        store(exec, seed),
        x(store.normal(p.size())),
        residual(p.residual ? store.normal(p.size()) : Out()),
        dy(store.normal(p.size())),
        gamma(store.normal(channels, 0.25, 1)),
        beta(store.normal(channels, 0.25)),
        running_mean(store.normal(channels, 0.5)),
        running_variance(store.normal(channels)),
        saved_y(p.relu ? store.unwritten(p.size()) : Out()),
        saved_mean(store.unwritten(channels)),
        saved_inv_std(store.unwritten(channels)),
        y(store.unwritten(p.size())),
        mean(store.unwritten(channels)),
        variance(store.unwritten(channels)),
        inv_std(store.unwritten(channels)),
        dx(store.unwritten(p.size())),
        d_residual(p.residual ? store.unwritten(p.size()) : Out()),
        dgamma(store.unwritten(channels)),
        dbeta(store.unwritten(channels)) {
    store.edit(running_variance, [](double z, std::size_t) { return 0.25 + z * z; });
    const auto centres = doubles(store.normal(channels, 0.5)), spreads = doubles(store.normal(channels));
    store.edit(x, [&](double z, std::size_t e) {
      const std::size_t c = e % channels;
      return centres[c] + (0.5 + std::min(std::abs(spreads[c]), 1.0)) * z;
    });
    save_forward_pass();
    const auto gammas = doubles(gamma), means = doubles(saved_mean), inv_stds = doubles(saved_inv_std);
    for (std::size_t c = 0; c < channels; ++c) {
      offset = std::max(offset, std::abs(means[c] * inv_stds[c]));
      slope = std::max(slope, std::abs(gammas[c] * inv_stds[c]));
    }
  }

  /// Fills saved_mean, saved_inv_std and saved_y; uses y (prepared afterwards) where saved_y is not wanted.
  void save_forward_pass() {
    OnHost xs(x), residuals(residual), gammas(gamma), betas(beta), ys(problem.relu ? saved_y : y);
    OnHost means(saved_mean), inv_stds(saved_inv_std);
    std::vector<float> variances(channels);
    reference::batch_norm_forward_training<float>(
        problem, {xs.values().data(), residuals.values().data(), gammas.values().data(), betas.values().data()},
        ys.values().data(), {means.values().data(), variances.data(), inv_stds.values().data()});
    for (const auto* host : {&ys, &means, &inv_stds}) host->put_back();
  }

  void run(Exec& exec, BatchNorm::Kernel& kernel, Pass pass, Write write) const {
    switch (pass) {
      case Pass::forward_training:
        return kernel.forward_training(exec, x, residual, gamma, beta, y, {mean, variance, inv_std});
      case Pass::forward_inference:
        return kernel.forward_inference(exec, x, residual, gamma, beta, running_mean, running_variance, y);
      case Pass::backward:
        return kernel.backward(exec, dy, {x, saved_y, saved_mean, saved_inv_std}, gamma,
                               {dx, d_residual, dgamma, dbeta, write, write, write});
    }
  }

  static bool accumulates(Pass pass) { return pass == Pass::backward; }

  /// Magnitudes: x - mean is the difference of numbers that are `offset` times as large as what remains of a row alone;
  /// the three addends of dx are of size 1 before they cancel. dbeta sums `rows` numbers of size 1 and of either sign, which
  /// makes numbers of size sqrt(rows); dgamma as many of size `normalised`.
  std::vector<TrialOutput> outputs(Pass pass) const {
    const std::int64_t rows = problem.rows;
    const double normalised = 1 + offset;
    switch (pass) {
      case Pass::forward_training:
        return {
            {"y", y, rows, 2 * normalised}, {"mean", mean, rows, 1}, {"variance", variance, rows}, {"inv_std", inv_std, rows}};
      case Pass::forward_inference:
        return {{"y", y, 4, 2 * normalised}};
      case Pass::backward: {
        const double sum = std::sqrt(double(rows));
        std::vector<TrialOutput> gradients{
            {"dx", dx, rows, slope}, {"dgamma", dgamma, rows, sum * normalised}, {"dbeta", dbeta, rows, sum}};
        if (problem.residual) gradients.insert(gradients.begin() + 1, {"d_residual", d_residual, 0});
        return gradients;
      }
    }
    return {};
  }

  std::vector<TrialInput> inputs(Pass pass) const {
    std::vector<TrialInput> all{{"x", x}, {"gamma", gamma}};
    if (pass == Pass::backward) {
      all.insert(all.end(), {{"dy", dy}, {"mean", saved_mean}, {"inv_std", saved_inv_std}});
      if (problem.relu) all.push_back({"y", saved_y});
      return all;
    }
    all.push_back({"beta", beta});
    if (problem.residual) all.push_back({"residual", residual});
    if (pass == Pass::forward_inference)
      all.insert(all.end(), {{"running_mean", running_mean}, {"running_variance", running_variance}});
    return all;
  }

  /// d_residual is dy where the activation let it pass, element by element; so is inference, but for the parameters of a
  /// channel. All else sums over the rows of a channel.
  std::vector<Reached> reached(Pass pass) const {
    Reached of_channel(channels), of_element(problem.size());
    for (const TrialInput& input : inputs(pass)) {
      const Reached marks = extremes(input.values);
      const bool elementwise = pass == Pass::forward_inference && marks.size() == problem.size();
      for (std::size_t e = 0; e < marks.size(); ++e) {
        if (marks.size() == problem.size()) of_element[e] = of_element[e] || marks[e];
        if (!elementwise) of_channel[e % channels] = of_channel[e % channels] || marks[e];
      }
    }
    std::vector<Reached> all;
    for (const TrialOutput& output : outputs(pass)) {
      const bool of_dy = output.values.data() == d_residual.data();
      Reached reached(output.values.size());
      for (std::size_t e = 0; e < reached.size(); ++e) {
        const bool here = reached.size() == problem.size() && of_element[e];
        reached[e] = of_dy ? here : here || of_channel[e % channels];
      }
      all.push_back(std::move(reached));
    }
    return all;
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    const auto xs = doubles(x), residuals = doubles(residual), gammas = doubles(gamma), betas = doubles(beta);
    const reference::BatchNormInputs<double> inputs{xs.data(), residuals.data(), gammas.data(), betas.data()};
    std::vector<double> result(problem.size());
    std::vector<double> first(channels), second(channels), third(channels);
    switch (pass) {
      case Pass::forward_training:
        reference::batch_norm_forward_training<double>(problem, inputs, result.data(),
                                                       {first.data(), second.data(), third.data()});
        return {result, first, second, third};
      case Pass::forward_inference:
        reference::batch_norm_forward_inference<double>(problem, inputs, doubles(running_mean).data(),
                                                        doubles(running_variance).data(), result.data());
        return {result};
      case Pass::backward: {
        const auto ys = doubles(saved_y), means = doubles(saved_mean), inv_stds = doubles(saved_inv_std);
        std::vector<double> residual_result(residual.size());
        reference::batch_norm_backward<double>(problem, doubles(dy).data(),
                                               {xs.data(), ys.data(), means.data(), inv_stds.data()}, gammas.data(),
                                               {result.data(), residual_result.data(), first.data(), second.data(),
                                                Write::overwrite, Write::overwrite, Write::overwrite});
        if (problem.residual) return {result, residual_result, first, second};
        return {result, first, second};
      }
    }
    return {};
  }

  double flops(Pass pass) const { return (pass == Pass::forward_inference ? 4.0 : 8.0) * double(problem.size()); }
  double bytes(Pass pass) const {
    // Statistics must be complete before anything is written: training reads its operands twice.
    const double reads = pass == Pass::forward_inference  ? 1 + problem.residual
                         : pass == Pass::forward_training ? 2 + problem.residual
                                                          : 2 * (2 + problem.relu);
    const double writes = pass == Pass::backward ? 1 + problem.residual : 1;
    return sizeof(float) * (reads + writes) * double(problem.size());
  }

  BatchNorm::Problem problem;
  std::size_t channels;
  double offset = 0;  // largest |mean| * inv_std
  double slope = 0;   // largest |gamma| * inv_std
  OperandStore store;
  Out x, residual, dy;                              // (rows, C); residual is empty unless the problem has one
  Out gamma, beta, running_mean, running_variance;  // (C)
  Out saved_y;                                      // (rows, C); empty unless relu
  Out saved_mean, saved_inv_std;                    // (C)
  Out y;                                            // (rows, C)
  Out mean, variance, inv_std;                      // (C)
  Out dx, d_residual;                               // (rows, C)
  Out dgamma, dbeta;                                // (C)
};

template class Trial<BatchNorm>;

}  // namespace apam::kernels
