// Batch norm over a block of rows (rows, C), channels across the lanes. Sums over rows are float arrays of C that stay in the
// L1 cache; blocks are small (kernels/cpu/batch_norm.cpp) and are joined in double.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// sum += x - origin, squares += (x - origin)^2.
template <class V, class T, class Origin>
void add_moments(const T* x, std::int64_t rows, std::int64_t c, const Origin* origin, float* sum, float* squares) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* row = x + i * c;
    for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
      const auto difference = V::sub(lanes.load(row + j), lanes.load(origin + j));
      lanes.store(sum + j, V::add(lanes.load(sum + j), difference));
      lanes.store(squares + j, V::fma(difference, difference, lanes.load(squares + j)));
    });
  }
}

template <class V>
void clear(float* a, float* b, std::int64_t c) {
  for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
    lanes.store(a + j, V::zero());
    lanes.store(b + j, V::zero());
  });
}

/// One pass: sums of the differences from an origin, and of their squares,
///   mean = origin + sum / rows,   m2 = squares - sum^2 / rows.
/// The origin is the mean of the first few rows, itself computed from differences to the first row. The sums are then of the
/// size of the deviations, however far the mean is from zero, and do not cancel.
template <class V, class T>
void moments(const T* x, std::int64_t rows, std::int64_t c, float* origin, float* mean, float* m2) {
  constexpr std::int64_t kOriginRows = 8;
  const std::int64_t few = rows < kOriginRows ? rows : kOriginRows;
  clear<V>(mean, m2, c);
  add_moments<V>(x, few, c, x, mean, m2);
  const auto few_inverse = V::set1(1.0F / static_cast<float>(few));
  for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
    lanes.store(origin + j, V::fma(lanes.load(mean + j), few_inverse, lanes.load(x + j)));
  });
  clear<V>(mean, m2, c);
  add_moments<V>(x, rows, c, origin, mean, m2);
  const auto divisor = V::set1(static_cast<float>(rows));
  for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
    const auto sum = lanes.load(mean + j), shift = V::div(sum, divisor);
    lanes.store(mean + j, V::add(lanes.load(origin + j), shift));
    lanes.store(m2 + j, V::max(V::zero(), V::sub(lanes.load(m2 + j), V::mul(sum, shift))));
  });
}

template <class V, class T, bool residual, bool relu, bool stream>
void normalise_rows(const ChannelMap& map, const NormaliseIn<T>& in, T* y, std::int64_t rows, std::int64_t c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = i * c;
    for_each_vector<V>(c, [=, &map, &in](std::int64_t j, auto lanes) {
      const auto centred = V::sub(lanes.load(in.x + row + j), lanes.load(map.mean + j));
      auto value = V::fma(centred, lanes.load(map.factor + j), lanes.load(map.shift + j));
      if constexpr (residual) value = V::add(value, lanes.load(in.residual + row + j));
      if constexpr (relu) value = V::relu(value);
      stream ? V::stream(y + row + j, value) : lanes.store(y + row + j, value);
    });
  }
  if constexpr (stream) V::store_fence();
}

template <class V, class T, bool residual, bool relu>
void normalise_to(const ChannelMap& map, const NormaliseIn<T>& in, T* y, bool stream, std::int64_t rows, std::int64_t c) {
  if constexpr (V::streams) {
    if (stream) return normalise_rows<V, T, residual, relu, true>(map, in, y, rows, c);
  }
  normalise_rows<V, T, residual, relu, false>(map, in, y, rows, c);
}

template <class V, class T>
void normalise(const ChannelMap& map, const NormaliseIn<T>& in, bool relu, T* y, bool stream, std::int64_t rows,
               std::int64_t c) {
  if (in.residual != nullptr) {
    relu ? normalise_to<V, T, true, true>(map, in, y, stream, rows, c)
         : normalise_to<V, T, true, false>(map, in, y, stream, rows, c);
  } else {
    relu ? normalise_to<V, T, false, true>(map, in, y, stream, rows, c)
         : normalise_to<V, T, false, false>(map, in, y, stream, rows, c);
  }
}

/// The bits of row i, starting with channel j.
template <class V, class Bits>
Bits* gate_at(Bits* gate, std::int64_t i, std::int64_t j, std::int64_t c) {
  return gate + (i * ((c + V::width - 1) / V::width) + j / V::width) * gate_bytes(V::width);
}

template <class V, class T, bool relu>
void gradient_sum_rows(const GradientIn<T>& in, const T* y, Gate* gate, const GradientSums& sums, std::int64_t rows,
                       std::int64_t c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for_each_vector<V>(c, [=, &in, &sums](std::int64_t j, auto lanes) {
      const std::int64_t at = i * c + j;
      auto g = lanes.load(in.dy + at);
      if constexpr (relu) {
        const auto passed = lanes.load(y + at);
        V::store_gate(gate_at<V>(gate, i, j, c), passed);
        g = V::where_open(passed, g);
      }
      const auto centred = V::sub(lanes.load(in.x + at), lanes.load(sums.mean + j));
      lanes.store(sums.sum_g + j, V::add(lanes.load(sums.sum_g + j), g));
      lanes.store(sums.sum_gx + j, V::fma(g, centred, lanes.load(sums.sum_gx + j)));
    });
  }
}

template <class V, class T>
void gradient_sums(const GradientIn<T>& in, const T* y, Gate* gate, const GradientSums& sums, std::int64_t rows,
                   std::int64_t c) {
  clear<V>(sums.sum_g, sums.sum_gx, c);
  y != nullptr ? gradient_sum_rows<V, T, true>(in, y, gate, sums, rows, c)
               : gradient_sum_rows<V, T, false>(in, y, gate, sums, rows, c);
}

template <class V, class T, bool relu>
void gradient_rows(const ChannelGradient& k, const GradientIn<T>& in, const Gate* gate, const GradientOut<T>& out,
                   std::int64_t rows, std::int64_t c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for_each_vector<V>(c, [=, &k, &in, &out](std::int64_t j, auto lanes) {
      const std::int64_t at = i * c + j;
      auto g = lanes.load(in.dy + at);
      if constexpr (relu) g = V::where_gate(gate_at<V>(gate, i, j, c), g);
      if (out.d_residual != nullptr) {
        T* to = out.d_residual + at;
        lanes.store(to, out.accumulate_residual ? V::add(lanes.load(to), g) : g);
      }
      const auto centred = V::sub(lanes.load(in.x + at), lanes.load(k.mean + j));
      const auto rest = V::sub(V::sub(g, lanes.load(k.mean_g + j)), V::mul(centred, lanes.load(k.slope + j)));
      const auto dx = V::mul(lanes.load(k.factor + j), rest);
      T* to = out.dx + at;
      lanes.store(to, out.accumulate_dx ? V::add(lanes.load(to), dx) : dx);
    });
  }
}

template <class V, class T>
void gradient(const ChannelGradient& k, const GradientIn<T>& in, const Gate* gate, const GradientOut<T>& out, std::int64_t rows,
              std::int64_t c) {
  gate != nullptr ? gradient_rows<V, T, true>(k, in, gate, out, rows, c)
                  : gradient_rows<V, T, false>(k, in, gate, out, rows, c);
}

template <class V, class T>
constexpr BatchNormKernels<T> batch_norm_kernels() {
  return {moments<V, T>, normalise<V, T>, gradient_sums<V, T>, gradient<V, T>};
}

}  // namespace apam::kernels::cpu
