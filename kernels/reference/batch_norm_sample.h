// Sample operands of batch norm: each channel of x has its own mean (deviation 1/2) and deviation (1/2 to 3/2); gamma is around
// 1, beta around 0. What backward reads of the forward pass (y, mean, inv_std) is computed by the naive loops.
#pragma once

#include "kernels/reference/batch_norm.h"
#include "kernels/reference/operand_store.h"

namespace apam::kernels {

template <>
struct Operands<BatchNorm> {
  using Pass = BatchNorm::Pass;

  Operands(Exec& exec, const BatchNorm::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : problem(p),
        channels(static_cast<std::size_t>(p.c)),
        store(exec, seed, std::move(memory), p.type),
        x(store.activations(p.size())),
        residual(p.residual ? store.activations(p.size()) : Out()),
        dy(store.activations(p.size())),
        gamma(store.normal(channels, 0.25, 1)),
        beta(store.normal(channels, 0.25)),
        running_mean(store.normal(channels, 0.5)),
        running_variance(store.normal(channels)),
        saved_y(p.relu ? store.unwritten_activations(p.size()) : Out()),
        saved_mean(store.unwritten(channels)),
        saved_inv_std(store.unwritten(channels)),
        y(store.unwritten_activations(p.size())),
        mean(store.unwritten(channels)),
        variance(store.unwritten(channels)),
        inv_std(store.unwritten(channels)),
        dx(store.unwritten_activations(p.size())),
        d_residual(p.residual ? store.unwritten_activations(p.size()) : Out()),
        dgamma(store.unwritten(channels)),
        dbeta(store.unwritten(channels)) {
    store.edit(running_variance, [](double z, std::size_t) { return 0.25 + z * z; });
    const auto centers = doubles(store.normal(channels, 0.5)), spreads = doubles(store.normal(channels));
    store.edit(x, [&](double z, std::size_t e) {
      const std::size_t c = e % channels;
      return centers[c] + (0.5 + std::min(std::abs(spreads[c]), 1.0)) * z;
    });
    save_forward_pass();
  }

  /// Fills saved_mean, saved_inv_std and saved_y; writes to y if there is no saved_y.
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

  BatchNorm::Problem problem;
  std::size_t channels;
  OperandStore store;
  Out x, residual, dy;                                      // (rows, C); residual is empty unless the problem has one
  Span<float> gamma, beta, running_mean, running_variance;  // (C)
  Out saved_y;                                              // (rows, C); empty unless relu
  Span<float> saved_mean, saved_inv_std;                    // (C)
  Out y;                                                    // (rows, C)
  Span<float> mean, variance, inv_std;                      // (C)
  Out dx, d_residual;                                       // (rows, C)
  Span<float> dgamma, dbeta;                                // (C)
};

}  // namespace apam::kernels
