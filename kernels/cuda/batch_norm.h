// Device kernels of batch norm. Rows are divided as row_sums.h describes.
//   Moments       per block of rows and channel: mean and m2, the sum of squared differences from it. Sums are shifted by the
//                 block's first row, so they do not cancel where the mean is far from zero. Then, in the last blocks, those of
//                 all rows:  mean = sum n_b mean_b / n,  m2 = sum [ m2_b + n_b (mean_b - mean)^2 ]  in double (Chan, Golub,
//                 LeVeque 1979)
//   Normalise     y = act(gamma * (x - mean) * inv_std + beta (+ residual))
//   GradientSums  per channel sum g and sum g * (x - mean), joined the same way
//   Gradient      dx = gamma * inv_std * (g - dbeta / rows - xhat * dgamma / rows),  d_residual = g
#pragma once

#include <cmath>
#include <limits>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/row_sums.h"
#include "kernels/ops/batch_norm.h"

#include <simt/macros.h>

namespace apam::kernels::cuda::batch_norm {

/// NaN unless the variance is a finite float32.
DEVICE double inverse_deviation(double variance, double eps) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return variance <= kLargest ? 1 / sqrt(variance + eps) : std::numeric_limits<double>::quiet_NaN();
}

DEVICE float inverse_deviation(float variance, float eps) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  return variance <= kLargest ? 1 / sqrtf(variance + eps) : std::numeric_limits<float>::quiet_NaN();
}

/// Two numbers per channel of each block of rows, and how they are joined (last_block.h).
struct Partial {
  double* values;           // (row blocks, 2, C)
  std::uint32_t* counters;  // (channel blocks, parts.counters())
  PartGroups parts;
  int c;
  DEVICE double& first(int row_block, int channel) const { return values[std::int64_t{2} * row_block * c + channel]; }
  DEVICE double& second(int row_block, int channel) const { return first(row_block, channel + c); }
};

/// Shared memory of the kernels that sum: for the sums of threads, then for those of joins.
template <int count>
inline constexpr std::uint32_t kSumsBytes = std::max<std::uint32_t>(kRowSumsBytes<count>, 2 * kRowThreads * sizeof(double));

/// Joins the parts of this block's channels, all threads of a block together. Threads that share a channel each take some of
/// the parts; add(channel, row_block, step, first, second) adds one. Then finish(channel, range, is_all, first, second) gets
/// the sums, in one thread per channel.
template <int count, class Add, class Finish>
DEVICE void join_rows(const RowTiling& tiling, const Partial& partial, SharedBytes shared, const Add& add,
                      const Finish& finish) {
  join_parts(partial.parts, block().y, partial.counters + block().x * partial.parts.counters(), shared.array<int>(0, 1),
             [&](const PartRange& range, bool is_all) {
               const auto scratch = shared.array<double>(0, 2 * kRowThreads);
               const int channels = count << tiling.lane_bits;  // a divisor of the threads
               const int within = thread() % channels, channel = block().x * channels + within;
               double first = 0, second = 0;
               if (channel < tiling.c) {
#pragma unroll 4
                 for (int b = range.begin + thread() / channels * range.step; b < range.end;
                      b += kRowThreads / channels * range.step) {
                   add(channel, b, range, first, second);
                 }
               }
               scratch[2 * thread()] = first;
               scratch[2 * thread() + 1] = second;
               sync_block();  // also: all parts have been read, and the first may be replaced
               if (thread() >= channels || channel >= tiling.c) return;
               for (int other = thread() + channels; other < kRowThreads; other += channels) {
                 first += scratch[2 * other];
                 second += scratch[2 * other + 1];
               }
               finish(channel, range, is_all, first, second);
             });
}

/// The rows of the blocks of rows from `row_block` on, `blocks` of them.
DEVICE double rows_of(const RowTiling& tiling, int row_block, int blocks) {
  const std::int64_t begin = std::int64_t{row_block} * tiling.rows_per_block;
  const std::int64_t end = begin + std::int64_t{blocks} * tiling.rows_per_block;
  return static_cast<double>((end < tiling.rows ? end : tiling.rows) - begin);
}

template <class T, int count>
struct Moments {
  struct Args {
    RowTiling tiling;
    const T* x;  // (rows, C)
    Partial moments;
    float eps;
    float *mean, *variance, *inv_std;  // (C)
  };
  static constexpr int threads = kRowThreads, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = kSumsBytes<count>;

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const RowPlace at = row_place(args.tiling);
    const T* first_row = args.x + std::int64_t{at.begin} * args.tiling.c;  // (C)
    float sums[count] = {}, squares[count] = {}, shift[count] = {};
    if (at.pack < args.tiling.packs) {
      const auto pack = load_pack<count>(first_row + at.pack * count);
#pragma unroll
      for (int e = 0; e < count; ++e) shift[e] = to_float(pack.values[e]);
    }
    for_rows<count>(args.tiling, at, [&](std::int64_t element) {
      const auto x = load_pack<count>(args.x + element);
#pragma unroll
      for (int e = 0; e < count; ++e) {
        const float difference = to_float(x.values[e]) - shift[e];
        sums[e] += difference;
        squares[e] += difference * difference;
      }
    });
    const auto rows = static_cast<float>(at.end - at.begin);
    sum_over_rows<count>(args.tiling, sums, squares, shared, [&](int channel, float sum, float square) {
      const float mean = sum / rows, m2 = square - sum * mean;
      args.moments.first(block().y, channel) = double{to_float(first_row[channel])} + mean;
      args.moments.second(block().y, channel) = m2 < 0 ? 0 : m2;
    });
    join(args, shared);
  }

  /// With differences from the mean of the range's first part, one pass over the parts is enough.
  DEVICE static void join(const Args& args, SharedBytes shared) {
    const Partial& parts = args.moments;
    join_rows<count>(
        args.tiling, parts, shared,
        [&](int channel, int b, const PartRange& range, double& sum, double& m2) {
          const double difference = parts.first(b, channel) - parts.first(range.begin, channel);
          const double weighted = rows_of(args.tiling, b, range.step) * difference;
          sum += weighted;
          m2 += parts.second(b, channel) + weighted * difference;
        },
        [&](int channel, const PartRange& range, bool is_all, double sum, double m2) {
          const double rows = rows_of(args.tiling, range.begin, range.end - range.begin);
          const double mean = parts.first(range.begin, channel) + sum / rows;
          m2 -= sum / rows * sum;
          if (m2 < 0) m2 = 0;
          if (is_all) return finish(args, channel, mean, m2);
          parts.first(range.begin, channel) = mean;
          parts.second(range.begin, channel) = m2;
        });
  }

  DEVICE static void finish(const Args& args, int channel, double mean, double m2) {
    const int rows = args.tiling.rows;
    args.mean[channel] = static_cast<float>(mean);
    args.variance[channel] = static_cast<float>(m2 / (rows > 1 ? rows - 1 : 1));
    args.inv_std[channel] = static_cast<float>(inverse_deviation(m2 / rows, double{args.eps}));
  }
};

/// `inference`: `spread` is a variance; otherwise it is inv_std.
template <class T, int count, bool inference>
struct Normalise {
  struct Args {
    RowTiling tiling;
    const T *x, *residual;                      // (rows, C); residual may be null
    const float *mean, *spread, *gamma, *beta;  // (C)
    float eps;
    bool relu;
    T* y;  // (rows, C)
  };
  static constexpr int threads = kRowThreads, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const RowPlace at = row_place(args.tiling);
    if (at.pack >= args.tiling.packs) return;
    float mean[count], factor[count], beta[count];
#pragma unroll
    for (int e = 0; e < count; ++e) {
      const int channel = at.pack * count + e;
      mean[e] = args.mean[channel];
      beta[e] = args.beta[channel];
      const float spread = args.spread[channel];
      factor[e] = args.gamma[channel] * (inference ? inverse_deviation(spread, args.eps) : spread);
    }
    for_rows<count>(args.tiling, at, [&](std::int64_t element) {
      const auto x = load_pack<count>(args.x + element);
      Pack<T, count> residual = x, y;
      if (args.residual != nullptr) residual = load_pack<count>(args.residual + element);
#pragma unroll
      for (int e = 0; e < count; ++e) {
        float value = (to_float(x.values[e]) - mean[e]) * factor[e] + beta[e];
        if (args.residual != nullptr) value += to_float(residual.values[e]);
        y.values[e] = Rounded<T>::of(args.relu ? rectified(value) : value);
      }
      store_pack<count>(args.y + element, y);
    });
  }
};

/// Operands of both backward kernels.
template <class T>
struct GradientOperands {
  const T *dy, *x, *y;  // (rows, C); y is null unless relu
  const float* mean;    // (C)

  /// Calls visit(e, g, x - mean) for the elements of a pack.
  template <int count, class Visit>
  DEVICE void for_pack(std::int64_t element, const float (&means)[count], const Visit& visit) const {
    const auto dys = load_pack<count>(dy + element), xs = load_pack<count>(x + element);
    Pack<T, count> ys = dys;
    if (y != nullptr) ys = load_pack<count>(y + element);
#pragma unroll
    for (int e = 0; e < count; ++e) {
      const bool off = y != nullptr && to_float(ys.values[e]) <= 0;
      visit(e, off ? 0 : to_float(dys.values[e]), to_float(xs.values[e]) - means[e]);
    }
  }
};

/// Per channel, for dx = factor * (g - mean_g - (x - mean) * slope).
struct Coefficients {
  float *factor, *mean_g, *slope;  // (C)
};

template <class T, int count>
struct GradientSums {
  struct Args {
    RowTiling tiling;
    GradientOperands<T> in;
    Partial sums;
    const float *gamma, *inv_std;  // (C)
    Coefficients coefficients;
    float *dgamma, *dbeta;  // (C)
    bool add;
  };
  static constexpr int threads = kRowThreads, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = kSumsBytes<count>;

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const RowPlace at = row_place(args.tiling);
    float sums[count] = {}, products[count] = {}, means[count] = {};
#pragma unroll
    for (int e = 0; e < count; ++e) means[e] = at.pack < args.tiling.packs ? args.in.mean[at.pack * count + e] : 0;
    for_rows<count>(args.tiling, at, [&](std::int64_t element) {
      args.in.template for_pack<count>(element, means, [&](int e, float g, float centred) {
        sums[e] += g;
        products[e] += g * centred;
      });
    });
    sum_over_rows<count>(args.tiling, sums, products, shared, [&](int channel, float sum, float product) {
      args.sums.first(block().y, channel) = sum;
      args.sums.second(block().y, channel) = product;
    });
    const Partial& parts = args.sums;
    join_rows<count>(
        args.tiling, parts, shared,
        [&](int channel, int b, const PartRange&, double& sum, double& product) {
          sum += parts.first(b, channel);
          product += parts.second(b, channel);
        },
        [&](int channel, const PartRange& range, bool is_all, double sum, double product) {
          if (is_all) return finish(args, channel, sum, product);
          parts.first(range.begin, channel) = sum;
          parts.second(range.begin, channel) = product;
        });
  }

  DEVICE static void finish(const Args& args, int channel, double sum, double product) {
    const int rows = args.tiling.rows;
    const double inv_std = args.inv_std[channel];
    write(args.dgamma[channel], static_cast<float>(product * inv_std), args.add);
    write(args.dbeta[channel], static_cast<float>(sum), args.add);
    args.coefficients.factor[channel] = static_cast<float>(args.gamma[channel] * inv_std);
    args.coefficients.mean_g[channel] = static_cast<float>(sum / rows);
    args.coefficients.slope[channel] = static_cast<float>(product * inv_std * inv_std / rows);
  }
};

template <class T, int count>
struct Gradient {
  struct Args {
    RowTiling tiling;
    GradientOperands<T> in;
    Coefficients coefficients;
    T *dx, *d_residual;  // (rows, C); dx may be dy; d_residual may be null
    bool add_x, add_residual;
  };
  static constexpr int threads = kRowThreads, min_blocks = count > 4 ? 2 : 3;  // without spills
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const RowPlace at = row_place(args.tiling);
    if (at.pack >= args.tiling.packs) return;
    float means[count], factor[count], mean_g[count], slope[count];
#pragma unroll
    for (int e = 0; e < count; ++e) {
      const int channel = at.pack * count + e;
      means[e] = args.in.mean[channel];
      factor[e] = args.coefficients.factor[channel];
      mean_g[e] = args.coefficients.mean_g[channel];
      slope[e] = args.coefficients.slope[channel];
    }
    for_rows<count>(args.tiling, at, [&](std::int64_t element) {
      Pack<T, count> dx{}, d_residual{};
      if (args.add_x) dx = load_pack<count>(args.dx + element);
      if (args.add_residual && args.d_residual != nullptr) d_residual = load_pack<count>(args.d_residual + element);
      args.in.template for_pack<count>(element, means, [&](int e, float g, float centred) {
        write(dx.values[e], factor[e] * (g - mean_g[e] - centred * slope[e]), args.add_x);
        write(d_residual.values[e], g, args.add_residual);
      });
      store_pack<count>(args.dx + element, dx);
      if (args.d_residual != nullptr) store_pack<count>(args.d_residual + element, d_residual);
    });
  }
};

}  // namespace apam::kernels::cuda::batch_norm
