// One step, element by element, with g' = g + weight_decay * w, or g without weight decay:
//   sgd:       w -= rate * g'
//   momentum:  m = momentum * m + g';  w -= rate * m
//   nesterov:  m as momentum;          w -= rate * (g' + momentum * m)
//   adam:      m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g' g';  w -= rate * m / (sqrt(v) + eps)
//   amsgrad:   m, v as adam;  vh = max(vh, v);                              w -= rate * m / (sqrt(vh) + eps)
// A new m or v below FLT_MIN is zero; w is NaN if v or vh exceeds float32.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ops/optimizer_step.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

/// OptimizerStep::Moments for any scalar; null if the rule has none.
template <class T>
struct Moments {
  T *m, *v, *vh;  // (size)
};

/// Flushes what is denormal in float32 to zero; keeps NaN.
inline double without_denormals(double moment) {
  return std::abs(moment) < double(std::numeric_limits<float>::min()) ? 0 : moment;
}

template <class T>
void optimizer_step(const OptimizerStep::Problem& p, const OptimizerStep::Scalars& scalars, double rate, const T* g, T* w,
                    const Moments<T>& moments) {
  const OptimizerStep::Decay beta1 = scalars.beta1, beta2 = scalars.beta2;
  for (std::int64_t e = 0; e < p.size; ++e) {
    const double gradient = scalars.weight_decay == 0 ? g[e] : g[e] + double(scalars.weight_decay) * w[e];
    if (p.rule == OptimizerStep::Rule::sgd) {
      w[e] = static_cast<T>(w[e] - rate * gradient);
      continue;
    }
    if (p.rule == OptimizerStep::Rule::momentum || p.rule == OptimizerStep::Rule::nesterov) {
      const double momentum = scalars.momentum;
      moments.m[e] = static_cast<T>(without_denormals(momentum * moments.m[e] + gradient));
      const double m = moments.m[e];
      w[e] = static_cast<T>(w[e] - rate * (p.rule == OptimizerStep::Rule::nesterov ? gradient + momentum * m : m));
      continue;
    }
    const double m = without_denormals(double(beta1.kept) * moments.m[e] + double(beta1.taken) * gradient);
    const double v = without_denormals(double(beta2.kept) * moments.v[e] + double(beta2.taken) * gradient * gradient);
    double second = v;
    if (p.rule == OptimizerStep::Rule::amsgrad) {
      second = std::max(v, double(moments.vh[e]));  // this order of arguments keeps a NaN of v
      moments.vh[e] = static_cast<T>(second);
    }
    moments.m[e] = static_cast<T>(m);
    moments.v[e] = static_cast<T>(v);
    const double step = rate * m / (std::sqrt(second) + double(scalars.eps));
    w[e] =
        second <= double(std::numeric_limits<float>::max()) ? static_cast<T>(w[e] - step) : std::numeric_limits<T>::quiet_NaN();
  }
}

}  // namespace apam::kernels::reference
