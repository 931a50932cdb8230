// Element by element, with g' = g + weight_decay * w:
//   sgd:      w -= rate * g'
//   adam:     m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g' g';  w -= rate * m / (sqrt(v) + eps)
//   amsgrad:  m, v as adam;  vh = max(vh, v);                              w -= rate * m / (sqrt(vh) + eps)
// and the running average  running += momentum * (batch - running).
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/ops/optimizer_step.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

/// OptimizerStep::Moments for any scalar; null where the rule has none.
template <class T>
struct Moments {
  T *m, *v, *vh;  // (size)
};

template <class T>
void optimizer_step(const OptimizerStep::Problem& p, const OptimizerStep::Scalars& scalars, const T* g, T* w,
                    const Moments<T>& moments) {
  const double rate = scalars.rate, beta1 = scalars.beta1, beta2 = scalars.beta2;
  for (std::int64_t e = 0; e < p.size; ++e) {
    const double gradient = g[e] + double(scalars.weight_decay) * w[e];
    if (p.rule == OptimizerStep::Rule::sgd) {
      w[e] = static_cast<T>(w[e] - rate * gradient);
      continue;
    }
    const double m = beta1 * moments.m[e] + (1 - beta1) * gradient;
    const double v = beta2 * moments.v[e] + (1 - beta2) * gradient * gradient;
    double second = v;
    if (p.rule == OptimizerStep::Rule::amsgrad) {
      second = std::max(v, double(moments.vh[e]));  // in this order a NaN of v stays
      moments.vh[e] = static_cast<T>(second);
    }
    moments.m[e] = static_cast<T>(m);
    moments.v[e] = static_cast<T>(v);
    w[e] = static_cast<T>(w[e] - rate * m / (std::sqrt(second) + double(scalars.eps)));
  }
}

template <class T>
void running_average(const RunningAverage::Problem& p, double momentum, const T* batch, T* running) {
  for (std::int64_t e = 0; e < p.size; ++e) running[e] = static_cast<T>(running[e] + momentum * (batch[e] - running[e]));
}

}  // namespace apam::kernels::reference
