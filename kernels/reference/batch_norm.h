// Batch normalisation; the statistics of each channel in two passes over the rows (mean, then squared deviations):
//   y = act(gamma * (x - mean) * inv_std + beta + residual),  inv_std = 1 / sqrt(variance + eps), NaN if the variance is not a
// finite float32. With g = dy, but 0 for a ReLU with y <= 0, and xhat = (x - mean) * inv_std:
//   d_residual = g,  dbeta = sum g,  dgamma = sum g * xhat,  dx = gamma * inv_std * (g - dbeta / rows - xhat * dgamma / rows)
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ops/batch_norm.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

/// BatchNorm::BatchStatistics, Saved and Gradients for any scalar.
template <class T>
struct BatchStatistics {
  T *mean, *variance, *inv_std;  // (C)
};
template <class T>
struct BatchNormSaved {
  const T *x, *y;           // (rows, C); y is null unless relu
  const T *mean, *inv_std;  // (C)
};
template <class T>
struct BatchNormGradients {
  T *dx, *d_residual;  // (rows, C); d_residual is null unless the problem has a residual
  T *dgamma, *dbeta;   // (C)
  Write write_x, write_residual, write_parameters;
};
/// Inputs of both forward passes.
template <class T>
struct BatchNormInputs {
  const T *x, *residual;  // (rows, C); residual is null unless the problem has one
  const T *gamma, *beta;  // (C)
};

/// Calls visit(element, channel) for every element, row by row.
template <class Visit>
void for_elements(const BatchNorm::Problem& p, Visit visit) {
  for (int i = 0; i < p.rows; ++i) {
    for (int c = 0; c < p.c; ++c) visit(std::size_t(i) * p.c + c, std::size_t(c));
  }
}

inline double inverse_deviation(double variance, double eps) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return variance <= kLargest ? 1 / std::sqrt(variance + eps) : std::numeric_limits<double>::quiet_NaN();
}

template <class T>
void batch_norm_normalise(const BatchNorm::Problem& p, const BatchNormInputs<T>& in, const std::vector<double>& mean,
                          const std::vector<double>& inv_std, T* y) {
  for_elements(p, [&](std::size_t e, std::size_t c) {
    double value = in.gamma[c] * (in.x[e] - mean[c]) * inv_std[c] + in.beta[c];
    if (p.residual) value += in.residual[e];
    y[e] = static_cast<T>(p.relu ? std::max(value, 0.0) : value);
  });
}

template <class T>
void batch_norm_forward_training(const BatchNorm::Problem& p, const BatchNormInputs<T>& in, T* y,
                                 const BatchStatistics<T>& out) {
  std::vector<double> mean(p.c), squares(p.c), inv_std(p.c);
  for_elements(p, [&](std::size_t e, std::size_t c) { mean[c] += in.x[e]; });
  for (double& sum : mean) sum /= p.rows;
  for_elements(p, [&](std::size_t e, std::size_t c) { squares[c] += (in.x[e] - mean[c]) * (in.x[e] - mean[c]); });
  for (int c = 0; c < p.c; ++c) {
    inv_std[c] = inverse_deviation(squares[c] / p.rows, p.eps);
    out.mean[c] = static_cast<T>(mean[c]);
    out.variance[c] = static_cast<T>(squares[c] / std::max(p.rows - 1, 1));
    out.inv_std[c] = static_cast<T>(inv_std[c]);
  }
  batch_norm_normalise(p, in, mean, inv_std, y);
}

template <class T>
void batch_norm_forward_inference(const BatchNorm::Problem& p, const BatchNormInputs<T>& in, const T* running_mean,
                                  const T* running_variance, T* y) {
  std::vector<double> inv_std(p.c);
  for (int c = 0; c < p.c; ++c) inv_std[c] = inverse_deviation(running_variance[c], p.eps);
  batch_norm_normalise(p, in, {running_mean, running_mean + p.c}, inv_std, y);
}

template <class T>
void batch_norm_backward(const BatchNorm::Problem& p, const T* dy, const BatchNormSaved<T>& saved, const T* gamma,
                         const BatchNormGradients<T>& out) {
  const auto gradient = [&](std::size_t e) -> double { return p.relu && saved.y[e] <= 0 ? T(0) : dy[e]; };
  const auto normalised = [&](std::size_t e, std::size_t c) {
    return (double(saved.x[e]) - double(saved.mean[c])) * double(saved.inv_std[c]);
  };
  std::vector<double> dgamma(p.c), dbeta(p.c);
  for_elements(p, [&](std::size_t e, std::size_t c) {
    dbeta[c] += gradient(e);
    dgamma[c] += gradient(e) * normalised(e, c);
  });
  for_elements(p, [&](std::size_t e, std::size_t c) {
    const double centred = gradient(e) - dbeta[c] / p.rows - normalised(e, c) * dgamma[c] / p.rows;
    if (p.residual) assign(out.d_residual[e], gradient(e), out.write_residual);
    assign(out.dx[e], gamma[c] * double(saved.inv_std[c]) * centred, out.write_x);
  });
  for (int c = 0; c < p.c; ++c) {
    assign(out.dgamma[c], dgamma[c], out.write_parameters);
    assign(out.dbeta[c], dbeta[c], out.write_parameters);
  }
}

}  // namespace apam::kernels::reference
