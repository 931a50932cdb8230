// Average pooling of one window, channels across the lanes.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

template <class V>
void window_mean(const Window& window, const float* x, float* y) {
  const auto area = V::set1(static_cast<float>(window.size * window.size));
  for_each_vector<V>(window.c, [=, &window](std::int64_t j, auto lanes) {
    auto sum = V::zero();
    for (int row = 0; row < window.size; ++row) {
      const float* pixels = x + row * window.row_stride + j;
      for (int i = 0; i < window.size; ++i) sum = V::add(sum, lanes.load(pixels + i * window.c));
    }
    lanes.store(y + j, V::div(sum, area));
  });
}

template <class V>
void window_spread(const Window& window, const float* dy, bool accumulate, float* dx) {
  const auto area = V::set1(static_cast<float>(window.size * window.size));
  for_each_vector<V>(window.c, [=, &window](std::int64_t j, auto lanes) {
    const auto share = V::div(lanes.load(dy + j), area);
    for (int row = 0; row < window.size; ++row) {
      float* pixels = dx + row * window.row_stride + j;
      for (int i = 0; i < window.size; ++i) {
        float* to = pixels + i * window.c;
        lanes.store(to, accumulate ? V::add(lanes.load(to), share) : share);
      }
    }
  });
}

template <class V>
constexpr PoolKernels pool_kernels() {
  return {window_mean<V>, window_spread<V>};
}

}  // namespace apam::kernels::cpu
