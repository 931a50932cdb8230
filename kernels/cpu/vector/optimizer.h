// One optimizer step over flat vectors, element-wise; formulas: kernels/ops/optimizer_step.h. Memory-bound: amsgrad reads
// 20 bytes and writes 16 bytes per parameter.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

inline constexpr float kMinNormal = 0x1p-126F;  // FLT_MIN

template <class V>
void sgd(const StepScalars& s, const float* g, float* w, std::int64_t count) {
  const auto minus_rate = V::set1(-s.rate), decay = V::set1(s.weight_decay);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto weight = lanes.load(w + i);
    const auto gradient = V::fma(decay, weight, lanes.load(g + i));
    lanes.store(w + i, V::fma(minus_rate, gradient, weight));
  });
}

/// New moments and weights of one vector of elements; shared by adam and amsgrad.
template <class V>
struct AdamStep {
  typename V::Float minus_rate, decay, beta1, rest1, beta2, rest2, eps, least;

  explicit AdamStep(const StepScalars& s)
      : minus_rate(V::set1(-s.rate)),
        decay(V::set1(s.weight_decay)),
        beta1(V::set1(s.beta1)),
        rest1(V::set1(s.one_minus_beta1)),
        beta2(V::set1(s.beta2)),
        rest2(V::set1(s.one_minus_beta2)),
        eps(V::set1(s.eps)),
        least(V::set1(kMinNormal)) {}

  typename V::Float gradient(typename V::Float g, typename V::Float w) const { return V::fma(decay, w, g); }
  typename V::Float first(typename V::Float m, typename V::Float g) const {
    return V::where_at_least(least, V::fma(beta1, m, V::mul(rest1, g)));
  }
  typename V::Float second(typename V::Float v, typename V::Float g) const {
    return V::where_at_least(least, V::fma(beta2, v, V::mul(V::mul(rest2, g), g)));
  }
  typename V::Float weight(typename V::Float w, typename V::Float m, typename V::Float v) const {
    const auto quotient = V::div(m, V::add(V::sqrt(v), eps));
    return V::fma(minus_rate, V::fma(V::zero(), v, quotient), w);  // 0 * v: NaN if v has overflowed
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

/// running += momentum * (batch - running)
template <class V>
void running_average(float momentum, const float* batch, float* running, std::int64_t count) {
  const auto momenta = V::set1(momentum);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto old = lanes.load(running + i);
    lanes.store(running + i, V::fma(momenta, V::sub(lanes.load(batch + i), old), old));
  });
}

template <class V>
constexpr OptimizerKernels optimizer_kernels() {
  return {sgd<V>, adam<V>, amsgrad<V>, running_average<V>};
}

}  // namespace apam::kernels::cpu
