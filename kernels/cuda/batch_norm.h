// Device kernels of batch norm. Rows are divided as row_sums.h describes.
//   Moments     per block of rows and channel: mean and m2, the sum of squared differences from it. Sums are shifted by the
//               block's first row, so they do not cancel where the mean is far from zero.
//   JoinMoments mean = sum n_b mean_b / n,  m2 = sum [ m2_b + n_b (mean_b - mean)^2 ]  in double (Chan, Golub, LeVeque 1979)
//   Normalise   y = act(gamma * (x - mean) * inv_std + beta (+ residual))
//   GradientSums, JoinGradients: per channel sum g and sum g * (x - mean), the same way
//   Gradient    dx = gamma * inv_std * (g - dbeta / rows - xhat * dgamma / rows),  d_residual = g
#pragma once

#include <cmath>
#include <limits>

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

/// Sums of the blocks of rows: (blocks, 2, C).
struct Partial {
  float* values;
  int c;
  DEVICE float& first(int row_block, int channel) const { return values[std::int64_t{2} * row_block * c + channel]; }
  DEVICE float& second(int row_block, int channel) const { return first(row_block, channel + c); }
};

template <class T, int count>
struct Moments {
  struct Args {
    RowTiling tiling;
    const T* x;  // (rows, C)
    Partial moments;
  };
  static constexpr int threads = kRowThreads, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = kRowSumsBytes<count>;

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
      args.moments.first(block().y, channel) = to_float(first_row[channel]) + mean;
      args.moments.second(block().y, channel) = m2 < 0 ? 0 : m2;
    });
  }
};

/// Sums over the blocks of rows, for 32 channels per block of threads and 8 threads per channel.
struct JoinShape {
  int c, row_blocks, rows, rows_per_block;
  DEVICE double rows_of(int row_block) const {
    const int left = rows - row_block * rows_per_block;
    return left < rows_per_block ? left : rows_per_block;
  }
};
inline constexpr int kJoinThreads = 256, kJoinGroups = kJoinThreads / 32;

/// The sum of term(block) over the blocks of rows, in all threads of a channel.
template <class Term>
DEVICE double join(const JoinShape& shape, Shared<double> scratch, const Term& term) {
  double sum = 0;
  for (int row_block = warp(); row_block < shape.row_blocks; row_block += kJoinGroups) sum += term(row_block);
  scratch[thread()] = sum;
  sync_block();
  double total = 0;
#pragma unroll
  for (int group = 0; group < kJoinGroups; ++group) total += scratch[group * 32 + lane()];
  sync_block();
  return total;
}

struct JoinMoments {
  struct Args {
    JoinShape shape;
    Partial moments;
    float eps;
    float *mean, *variance, *inv_std;  // (C)
  };
  static constexpr int threads = kJoinThreads, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = kJoinThreads * sizeof(double);

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto scratch = shared.array<double>(0, kJoinThreads);
    const JoinShape& shape = args.shape;
    const int channel = block().x * 32 + lane(), read = channel < shape.c ? channel : shape.c - 1;
    const double sum = join(shape, scratch, [&](int b) { return shape.rows_of(b) * args.moments.first(b, read); });
    const double mean = sum / shape.rows;
    const double m2 = join(shape, scratch, [&](int b) {
      const double shift = args.moments.first(b, read) - mean;
      return args.moments.second(b, read) + shape.rows_of(b) * shift * shift;
    });
    if (warp() != 0 || channel >= shape.c) return;
    args.mean[channel] = static_cast<float>(mean);
    args.variance[channel] = static_cast<float>(m2 / (shape.rows > 1 ? shape.rows - 1 : 1));
    args.inv_std[channel] = static_cast<float>(inverse_deviation(m2 / shape.rows, double{args.eps}));
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

template <class T, int count>
struct GradientSums {
  struct Args {
    RowTiling tiling;
    GradientOperands<T> in;
    Partial sums;
  };
  static constexpr int threads = kRowThreads, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = kRowSumsBytes<count>;

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
  }
};

/// Per channel, for dx = factor * (g - mean_g - (x - mean) * slope).
struct Coefficients {
  float *factor, *mean_g, *slope;  // (C)
};

struct JoinGradients {
  struct Args {
    JoinShape shape;
    Partial sums;
    const float *gamma, *inv_std;  // (C)
    Coefficients coefficients;
    float *dgamma, *dbeta;  // (C)
    bool add;
  };
  static constexpr int threads = kJoinThreads, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = kJoinThreads * sizeof(double);

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto scratch = shared.array<double>(0, kJoinThreads);
    const JoinShape& shape = args.shape;
    const int channel = block().x * 32 + lane(), read = channel < shape.c ? channel : shape.c - 1;
    const double sum = join(shape, scratch, [&](int b) { return static_cast<double>(args.sums.first(b, read)); });
    const double product = join(shape, scratch, [&](int b) { return static_cast<double>(args.sums.second(b, read)); });
    if (warp() != 0 || channel >= shape.c) return;
    const double inv_std = args.inv_std[channel];
    write(args.dgamma[channel], static_cast<float>(product * inv_std), args.add);
    write(args.dbeta[channel], static_cast<float>(sum), args.add);
    args.coefficients.factor[channel] = static_cast<float>(args.gamma[channel] * inv_std);
    args.coefficients.mean_g[channel] = static_cast<float>(sum / shape.rows);
    args.coefficients.slope[channel] = static_cast<float>(product * inv_std * inv_std / shape.rows);
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
