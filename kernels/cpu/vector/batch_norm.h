// Batch norm over a block of rows (rows, C), channels across the lanes. Sums over rows are kept in float, in arrays of C
// that stay in the first-level cache; a block is small (kernels/cpu/batch_norm.cpp), and blocks are joined in double.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// Two sweeps over the block, the second of which finds it in cache: the mean first, then deviations from it. The mean is
/// summed as differences from the first row, so that nothing cancels however far it lies from zero.
template <class V>
void moments(const float* x, std::int64_t rows, std::int64_t c, float* mean, float* m2) {
  for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
    lanes.store(mean + j, V::zero());
    lanes.store(m2 + j, V::zero());
  });
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* row = x + i * c;
    for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
      const auto difference = V::sub(lanes.load(row + j), lanes.load(x + j));
      lanes.store(mean + j, V::add(lanes.load(mean + j), difference));
    });
  }
  const auto divisor = V::all(static_cast<float>(rows));
  for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
    lanes.store(mean + j, V::add(lanes.load(x + j), V::div(lanes.load(mean + j), divisor)));
  });
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* row = x + i * c;
    for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
      const auto deviation = V::sub(lanes.load(row + j), lanes.load(mean + j));
      lanes.store(m2 + j, V::fma(deviation, deviation, lanes.load(m2 + j)));
    });
  }
}

template <class V, bool residual, bool relu>
void normalise_rows(const ChannelMap& map, const float* x, const float* added, float* y, std::int64_t rows, std::int64_t c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = i * c;
    for_each_vector<V>(c, [=, &map](std::int64_t j, auto lanes) {
      const auto centred = V::sub(lanes.load(x + row + j), lanes.load(map.mean + j));
      auto value = V::fma(centred, lanes.load(map.factor + j), lanes.load(map.shift + j));
      if constexpr (residual) value = V::add(value, lanes.load(added + row + j));
      if constexpr (relu) value = V::relu(value);
      lanes.store(y + row + j, value);
    });
  }
}

template <class V>
void normalise(const ChannelMap& map, const float* x, const float* residual, bool relu, float* y, std::int64_t rows,
               std::int64_t c) {
  if (residual != nullptr) {
    relu ? normalise_rows<V, true, true>(map, x, residual, y, rows, c)
         : normalise_rows<V, true, false>(map, x, residual, y, rows, c);
  } else {
    relu ? normalise_rows<V, false, true>(map, x, residual, y, rows, c)
         : normalise_rows<V, false, false>(map, x, residual, y, rows, c);
  }
}

/// dy where the ReLU let it pass: all of it when there is none.
template <class V, bool relu, class Lanes>
typename V::Float passed(const GradientIn& in, std::int64_t at, Lanes lanes) {
  const auto dy = lanes.load(in.dy + at);
  if constexpr (relu) return V::where_positive(lanes.load(in.y + at), dy);
  return dy;
}

template <class V, bool relu>
void sum_gradient_rows(const GradientIn& in, const float* mean, std::int64_t rows, std::int64_t c, float* sum_g,
                       float* sum_gx) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = i * c;
    for_each_vector<V>(c, [=, &in](std::int64_t j, auto lanes) {
      const auto g = passed<V, relu>(in, row + j, lanes);
      const auto centred = V::sub(lanes.load(in.x + row + j), lanes.load(mean + j));
      lanes.store(sum_g + j, V::add(lanes.load(sum_g + j), g));
      lanes.store(sum_gx + j, V::fma(g, centred, lanes.load(sum_gx + j)));
    });
  }
}

template <class V>
void gradient_sums(const GradientIn& in, const float* mean, std::int64_t rows, std::int64_t c, float* sum_g, float* sum_gx) {
  for_each_vector<V>(c, [=](std::int64_t j, auto lanes) {
    lanes.store(sum_g + j, V::zero());
    lanes.store(sum_gx + j, V::zero());
  });
  in.y != nullptr ? sum_gradient_rows<V, true>(in, mean, rows, c, sum_g, sum_gx)
                  : sum_gradient_rows<V, false>(in, mean, rows, c, sum_g, sum_gx);
}

template <class V, bool relu>
void gradient_rows(const ChannelGradient& k, const GradientIn& in, const GradientOut& out, std::int64_t rows, std::int64_t c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = i * c;
    for_each_vector<V>(c, [=, &k, &in, &out](std::int64_t j, auto lanes) {
      const auto g = passed<V, relu>(in, row + j, lanes);
      if (out.d_residual != nullptr) {
        float* to = out.d_residual + row + j;
        lanes.store(to, out.accumulate_residual ? V::add(lanes.load(to), g) : g);
      }
      const auto centred = V::sub(lanes.load(in.x + row + j), lanes.load(k.mean + j));
      const auto rest = V::sub(V::sub(g, lanes.load(k.mean_g + j)), V::mul(centred, lanes.load(k.slope + j)));
      const auto dx = V::mul(lanes.load(k.factor + j), rest);
      float* to = out.dx + row + j;
      lanes.store(to, out.accumulate_dx ? V::add(lanes.load(to), dx) : dx);
    });
  }
}

template <class V>
void gradient(const ChannelGradient& k, const GradientIn& in, const GradientOut& out, std::int64_t rows, std::int64_t c) {
  in.y != nullptr ? gradient_rows<V, true>(k, in, out, rows, c) : gradient_rows<V, false>(k, in, out, rows, c);
}

template <class V>
constexpr BatchNormKernels batch_norm_kernels() {
  return {moments<V>, normalise<V>, gradient_sums<V>, gradient<V>};
}

}  // namespace apam::kernels::cpu
