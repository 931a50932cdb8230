// Average pooling of one window, channels across the lanes.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

template <class V, class T>
void window_mean(const Window& window, const T* x, T* y) {
  const auto area = V::set1(static_cast<float>(window.size * window.size));
  for_each_vector<V>(window.c, [=, &window](std::int64_t j, auto lanes) {
    auto sum = V::zero();
    for (int row = 0; row < window.size; ++row) {
      const T* pixels = x + row * window.row_stride + j;
      for (int i = 0; i < window.size; ++i) sum = V::add(sum, lanes.load(pixels + i * window.c));
    }
    lanes.store(y + j, V::div(sum, area));
  });
}

template <class V, class T>
void window_spread(const Window& window, const T* dy, bool accumulate, T* dx) {
  const auto area = V::set1(static_cast<float>(window.size * window.size));
  for_each_vector<V>(window.c, [=, &window](std::int64_t j, auto lanes) {
    const auto share = V::div(lanes.load(dy + j), area);
    for (int row = 0; row < window.size; ++row) {
      T* pixels = dx + row * window.row_stride + j;
      for (int i = 0; i < window.size; ++i) {
        T* to = pixels + i * window.c;
        lanes.store(to, accumulate ? V::add(lanes.load(to), share) : share);
      }
    }
  });
}

template <class V, class T>
constexpr PoolKernels<T> pool_kernels() {
  return {window_mean<V, T>, window_spread<V, T>};
}

}  // namespace apam::kernels::cpu
