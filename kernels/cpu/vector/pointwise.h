// y = a + b, y = factor x, y = max(0, x), dx = 0 where y <= 0, else dy, running += momentum (batch - running).
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

template <class V>
void add(const float* a, const float* b, float* y, std::int64_t count) {
  for_each_vector<V>(count,
                     [=](std::int64_t i, auto lanes) { lanes.store(y + i, V::add(lanes.load(a + i), lanes.load(b + i))); });
}

template <class V>
void scale(float factor, const float* x, float* y, std::int64_t count) {
  const auto factors = V::set1(factor);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) { lanes.store(y + i, V::mul(factors, lanes.load(x + i))); });
}

template <class V>
void relu(const float* x, float* y, std::int64_t count) {
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) { lanes.store(y + i, V::relu(lanes.load(x + i))); });
}

template <class V>
void relu_backward(const float* dy, const float* y, float* dx, bool accumulate, std::int64_t count) {
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto g = V::where_open(lanes.load(y + i), lanes.load(dy + i));
    lanes.store(dx + i, accumulate ? V::add(lanes.load(dx + i), g) : g);
  });
}

template <class V>
void running_average(float momentum, const float* batch, float* running, std::int64_t count) {
  const auto momenta = V::set1(momentum);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto old = lanes.load(running + i);
    lanes.store(running + i, V::fma(momenta, V::sub(lanes.load(batch + i), old), old));
  });
}

template <class V>
constexpr PointwiseKernels pointwise_kernels() {
  return {add<V>, scale<V>, relu<V>, relu_backward<V>, running_average<V>};
}

}  // namespace apam::kernels::cpu
