// y = a + b, y = factor x, y = max(0, x), dx = 0 where y <= 0, else dy; conversion between types.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

template <class V, class T>
void add(const T* a, const T* b, T* y, std::int64_t count) {
  for_each_vector<V>(count,
                     [=](std::int64_t i, auto lanes) { lanes.store(y + i, V::add(lanes.load(a + i), lanes.load(b + i))); });
}

template <class V, class T>
void scale(float factor, const T* x, T* y, std::int64_t count) {
  const auto factors = V::set1(factor);
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) { lanes.store(y + i, V::mul(factors, lanes.load(x + i))); });
}

template <class V, class T>
void relu(const T* x, T* y, std::int64_t count) {
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) { lanes.store(y + i, V::relu(lanes.load(x + i))); });
}

template <class V, class T>
void relu_backward(const T* dy, const T* y, T* dx, bool accumulate, std::int64_t count) {
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) {
    const auto g = V::where_open(lanes.load(y + i), lanes.load(dy + i));
    lanes.store(dx + i, accumulate ? V::add(lanes.load(dx + i), g) : g);
  });
}

/// y = x in another type.
template <class V, class From, class To>
void convert(const From* x, To* y, std::int64_t count) {
  for_each_vector<V>(count, [=](std::int64_t i, auto lanes) { lanes.store(y + i, lanes.load(x + i)); });
}

template <class V, class T>
constexpr PointwiseKernels<T> pointwise_kernels() {
  return {add<V, T>, scale<V, T>, relu<V, T>, relu_backward<V, T>, convert<V, float, T>, convert<V, T, float>};
}

}  // namespace apam::kernels::cpu
