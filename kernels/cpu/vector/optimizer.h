// Optimizer steps over flat vectors, element-wise; formulas: kernels/ops/optimizer_step.h. Weights and moments stay in
// registers from the first step to the last: with k gradients, amsgrad reads 16 + 4k bytes and writes 16 bytes per parameter.
// Memory-bound for few gradients, bound by square root and division for many.
//
// Several gradients read many streams at once, more than the processor follows, so the next vectors are prefetched. Without
// weight decay a gradient does not depend on the weight before it, and so only the short chains of m, v and w link the steps;
// with it, each step waits for the whole step before, and more vectors are interleaved.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// g' of one vector.
template <class V, bool decays>
typename V::Float decayed(typename V::Float decay, typename V::Float g, typename V::Float w) {
  if constexpr (decays) return V::fma(decay, w, g);
  return g;
}

template <class V, bool decays>
void sgd_by(const StepScalars& s, const GradientSteps& steps, const StepOutputs& out, std::int64_t begin, std::int64_t end) {
  const auto decay = V::set1(s.weight_decay);
  for_each_vector<V>(end - begin, [=](std::int64_t i, auto lanes) {
    const std::int64_t e = begin + i;
    auto weight = lanes.load(steps.from + e);
    for (int k = 0; k < steps.count; ++k) {
      const auto gradient = decayed<V, decays>(decay, lanes.load(steps.g[k] + e), weight);
      weight = V::fma(V::set1(-steps.rates[k]), gradient, weight);
    }
    lanes.store(out.w + e, weight);
  });
}

template <class V>
void sgd(const StepScalars& s, const GradientSteps& steps, const StepOutputs& out, std::int64_t begin, std::int64_t end) {
  const auto by = s.weight_decay == 0 ? sgd_by<V, false> : sgd_by<V, true>;
  by(s, steps, out, begin, end);
}

template <class V, bool decays, bool nesterov>
void momentum_by(const StepScalars& s, const GradientSteps& steps, const StepOutputs& out, std::int64_t begin,
                 std::int64_t end) {
  const auto decay = V::set1(s.weight_decay), momentum = V::set1(s.momentum);
  for_each_vector<V>(end - begin, [=](std::int64_t i, auto lanes) {
    const std::int64_t e = begin + i;
    auto weight = lanes.load(steps.from + e), first = lanes.load(out.m + e);
    for (int k = 0; k < steps.count; ++k) {
      const auto gradient = decayed<V, decays>(decay, lanes.load(steps.g[k] + e), weight);
      first = V::flush_denormal(V::fma(momentum, first, gradient));
      const auto direction = nesterov ? V::fma(momentum, first, gradient) : first;
      weight = V::fma(V::set1(-steps.rates[k]), direction, weight);
    }
    lanes.store(out.m + e, first);
    lanes.store(out.w + e, weight);
  });
}

/// Shared by momentum and nesterov.
template <class V, bool nesterov>
void momentum_steps(const StepScalars& s, const GradientSteps& steps, const StepOutputs& out, std::int64_t begin,
                    std::int64_t end) {
  const auto by = s.weight_decay == 0 ? momentum_by<V, false, nesterov> : momentum_by<V, true, nesterov>;
  by(s, steps, out, begin, end);
}

/// New moments and weights of one vector of elements; shared by adam and amsgrad.
template <class V, bool decays>
struct AdamStep {
  typename V::Float decay, beta1, rest1, beta2, rest2, eps;

  explicit AdamStep(const StepScalars& s)
      : decay(V::set1(s.weight_decay)),
        beta1(V::set1(s.beta1)),
        rest1(V::set1(s.one_minus_beta1)),
        beta2(V::set1(s.beta2)),
        rest2(V::set1(s.one_minus_beta2)),
        eps(V::set1(s.eps)) {}

  typename V::Float gradient(typename V::Float g, typename V::Float w) const { return decayed<V, decays>(decay, g, w); }
  typename V::Float first(typename V::Float m, typename V::Float g) const {
    return V::flush_denormal(V::fma(beta1, m, V::mul(rest1, g)));
  }
  typename V::Float second(typename V::Float v, typename V::Float g) const {
    return V::flush_denormal(V::fma(beta2, v, V::mul(V::mul(rest2, g), g)));
  }
  typename V::Float weight(float rate, typename V::Float w, typename V::Float m, typename V::Float v) const {
    const auto quotient = V::div(m, V::add(V::sqrt(v), eps));
    return V::fma(V::set1(-rate), V::fma(V::zero(), v, quotient), w);  // 0 * v: NaN if v has overflowed
  }
};

/// Steps on `group` vectors from element e on, interleaved: the steps of one vector depend on each other.
template <class V, bool has_largest, int group, class Step, class Lanes>
void adam_group(const Step& step, const GradientSteps& steps, const StepOutputs& out, std::int64_t e, Lanes lanes) {
  constexpr std::int64_t kAhead = 256;  // elements: 1 KiB per stream
  const auto prefetch = [](const float* from) {
    if constexpr (group > 1) __builtin_prefetch(from + kAhead);
  };
  typename V::Float weight[group], first[group], second[group], largest[group];
  for (int j = 0; j < group; ++j) {
    const std::int64_t i = e + j * V::width;
    prefetch(steps.from + i);
    prefetch(out.m + i);
    prefetch(out.v + i);
    if (has_largest) prefetch(out.vh + i);
    weight[j] = lanes.load(steps.from + i);
    first[j] = lanes.load(out.m + i);
    second[j] = lanes.load(out.v + i);
    largest[j] = has_largest ? lanes.load(out.vh + i) : second[j];
  }
  for (int k = 0; k < steps.count; ++k) {
    for (int j = 0; j < group; ++j) {
      const float* from = steps.g[k] + e + j * V::width;
      prefetch(from);
      const auto gradient = step.gradient(lanes.load(from), weight[j]);
      first[j] = step.first(first[j], gradient);
      second[j] = step.second(second[j], gradient);
      largest[j] = has_largest ? V::max(largest[j], second[j]) : second[j];
      weight[j] = step.weight(steps.rates[k], weight[j], first[j], largest[j]);
    }
  }
  for (int j = 0; j < group; ++j) {
    const std::int64_t i = e + j * V::width;
    lanes.store(out.m + i, first[j]);
    lanes.store(out.v + i, second[j]);
    if constexpr (has_largest) lanes.store(out.vh + i, largest[j]);
    lanes.store(out.w + i, weight[j]);
  }
}

template <class V, bool has_largest, bool decays>
void adam_steps_by(const StepScalars& s, const GradientSteps& steps, const StepOutputs& out, std::int64_t begin,
                   std::int64_t end) {
  constexpr int kGroup = !decays ? 3 : V::width == 16 ? 6 : 8;  // found by timing
  const AdamStep<V, decays> step(s);
  if (steps.count > 1) {
    for (; begin + kGroup * V::width <= end; begin += kGroup * V::width) {
      adam_group<V, has_largest, kGroup>(step, steps, out, begin, Whole<V>{});
    }
  }
  for_each_vector<V>(end - begin,
                     [=](std::int64_t i, auto lanes) { adam_group<V, has_largest, 1>(step, steps, out, begin + i, lanes); });
}

template <class V, bool has_largest>
void adam_steps(const StepScalars& s, const GradientSteps& steps, const StepOutputs& out, std::int64_t begin,
                std::int64_t end) {
  const auto by = s.weight_decay == 0 ? adam_steps_by<V, has_largest, false> : adam_steps_by<V, has_largest, true>;
  by(s, steps, out, begin, end);
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
  return {.sgd = sgd<V>,
          .momentum = momentum_steps<V, false>,
          .nesterov = momentum_steps<V, true>,
          .adam = adam_steps<V, false>,
          .amsgrad = adam_steps<V, true>,
          .running_average = running_average<V>};
}

}  // namespace apam::kernels::cpu
