// One optimizer step over flat vectors, element by element; formulas in kernels/ops/optimizer_step.h. Bound by memory:
// amsgrad reads 20 bytes a parameter and writes 16.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

inline constexpr float kLeastNormal = 0x1p-126F;  // FLT_MIN

template <class V>
void sgd(const StepScalars& s, const float* g, float* w, std::int64_t count) {
  const auto minus_rate = V::all(-s.rate), decay = V::all(s.weight_decay);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto weight = lanes.load(w + i);
    const auto gradient = V::fma(decay, weight, lanes.load(g + i));
    lanes.store(w + i, V::fma(minus_rate, gradient, weight));
  });
}

/// The moments of one vector of elements, and the new weights from them; what adam and amsgrad share.
template <class V>
struct AdamStep {
  typename V::Float minus_rate, decay, beta1, rest1, beta2, rest2, eps, least;

  explicit AdamStep(const StepScalars& s)
      : minus_rate(V::all(-s.rate)),
        decay(V::all(s.weight_decay)),
        beta1(V::all(s.beta1)),
        rest1(V::all(s.one_minus_beta1)),
        beta2(V::all(s.beta2)),
        rest2(V::all(s.one_minus_beta2)),
        eps(V::all(s.eps)),
        least(V::all(kLeastNormal)) {}

  typename V::Float gradient(typename V::Float g, typename V::Float w) const { return V::fma(decay, w, g); }
  typename V::Float first(typename V::Float m, typename V::Float g) const {
    return V::where_at_least(least, V::fma(beta1, m, V::mul(rest1, g)));
  }
  typename V::Float second(typename V::Float v, typename V::Float g) const {
    return V::where_at_least(least, V::fma(beta2, v, V::mul(V::mul(rest2, g), g)));
  }
  typename V::Float weight(typename V::Float w, typename V::Float m, typename V::Float v) const {
    const auto quotient = V::div(m, V::add(V::sqrt(v), eps));
    return V::fma(minus_rate, V::fma(V::zero(), v, quotient), w);  // 0 * v: NaN where v has overflowed
  }
};

template <class V>
void adam(const StepScalars& s, const float* g, float* w, float* m, float* v, std::int64_t count) {
  const AdamStep<V> step(s);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto weight = lanes.load(w + i);
    const auto gradient = step.gradient(lanes.load(g + i), weight);
    const auto first = step.first(lanes.load(m + i), gradient);
    const auto second = step.second(lanes.load(v + i), gradient);
    lanes.store(m + i, first);
    lanes.store(v + i, second);
    lanes.store(w + i, step.weight(weight, first, second));
  });
}

template <class V>
void amsgrad(const StepScalars& s, const float* g, float* w, float* m, float* v, float* vh, std::int64_t count) {
  const AdamStep<V> step(s);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto weight = lanes.load(w + i);
    const auto gradient = step.gradient(lanes.load(g + i), weight);
    const auto first = step.first(lanes.load(m + i), gradient);
    const auto second = step.second(lanes.load(v + i), gradient);
    const auto largest = V::max(lanes.load(vh + i), second);
    lanes.store(m + i, first);
    lanes.store(v + i, second);
    lanes.store(vh + i, largest);
    lanes.store(w + i, step.weight(weight, first, largest));
  });
}

template <class V>
constexpr OptimizerKernels optimizer_kernels() {
  return {sgd<V>, adam<V>, amsgrad<V>};
}

}  // namespace apam::kernels::cpu
