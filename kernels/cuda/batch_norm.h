// Device kernels of batch norm. Rows are divided as row_sums.h describes.
//   Moments       per block of rows and channel: mean and variance. Sums are shifted by the block's first row, so they do not
//                 cancel where the mean is far from zero
//   Normalise     joins these parts (Chan, Golub, LeVeque 1979), with w_b the share of a block in all rows:
//                   mean = sum w_b mean_b,  variance = sum w_b (variance_b + (mean_b - mean)^2)
//                 and computes  y = act(gamma * (x - mean) * inv_std + beta (+ residual))
//   GradientSums  per block of rows and channel: sum g and sum g * (x - mean)
//   Gradient      adds these parts, and computes
//                   dx = gamma * inv_std * (g - dbeta / rows - xhat * dgamma / rows),  d_residual = g
// Every block of the second kernel of a pass joins the parts of its channels itself, while its first rows are on their way: it
// gets them from the L2 cache in less time than a last block of the first kernel would take to see that it is the last.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/cuda/row_sums.h"
#include "kernels/ops/batch_norm.h"

#include <simt/macros.h>

namespace apam::kernels::cuda::batch_norm {

/// Channels of an access, if they divide those of the problem. Packs of 16 bytes in bfloat16 would need twice the registers for
/// what a thread keeps per channel, and leave fewer for loads in flight.
inline constexpr int kPack = 4;

/// NaN unless the variance is a finite float32.
DEVICE float inverse_deviation(float variance, float eps) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  return variance <= kLargest ? 1 / sqrtf(variance + eps) : std::numeric_limits<float>::quiet_NaN();
}

/// The channel of a block's tile that a thread takes where each has one, and whether there is one.
struct ChannelPlace {
  int channel;
  bool exists;
};

template <int count>
DEVICE ChannelPlace channel_place(const RowTiling& tiling) {
  const int width = count << tiling.lane_bits, channel = block().x * width + thread();
  return {channel, thread() < width && channel < tiling.c};
}

/// Parameters of a block's channels in shared memory: one thread per channel puts them, threads get those of their packs.
template <int parameters, int count>
class ChannelParameters {
 public:
  /// Of a tile, which is 64 bytes of channels wide, or up to 32 channels.
  static constexpr int kBytes = parameters * 32 * int{sizeof(float)};
  DEVICE ChannelParameters(SharedBytes shared, int offset) : values_(shared.array<float>(offset, parameters * 32)) {}

  DEVICE void put(int parameter, float value) const { values_[parameter * 32 + thread()] = value; }
  DEVICE void get(int parameter, const RowTiling& tiling, float (&of_pack)[count]) const {
    constexpr int kWidth = count < 4 ? count : 4;
    const auto from = values_ + (parameter * 32 + (thread() & ((1 << tiling.lane_bits) - 1)) * count);
#pragma unroll
    for (int i = 0; i < count / kWidth; ++i) {
      const Pack<float, kWidth> pack = from.template as<Pack<float, kWidth>>()[i];
#pragma unroll
      for (int e = 0; e < kWidth; ++e) of_pack[i * kWidth + e] = pack.values[e];
    }
  }

 private:
  Shared<float> values_;  // (parameters, 32)
};

template <class T, int count>
struct Moments {
  struct Args {
    RowTiling tiling;
    const T* x;      // (rows, C)
    RowParts parts;  // mean and biased variance
  };
  static constexpr int threads = kRowThreads, min_blocks = 2;
  static constexpr std::uint32_t shared_bytes = kRowSumsBytes<count>;

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const RowPlace at = row_place(args.tiling);
    const ChannelPlace own = channel_place<count>(args.tiling);
    constexpr int kBatch = 20 / sizeof(T);
    LoadedPack<T, count> xs[kBatch], shift;
    const T* first_row = args.x + std::int64_t{at.begin} * args.tiling.c;  // (C)
    const T* first = in_register(first_row + at.pack * count);
    if (at.pack < args.tiling.packs) shift.load(first);
    const float own_shift = own.exists ? to_float(first_row[own.channel]) : 0;
    float sums[count] = {}, squares[count] = {};
#pragma unroll 1
    for (RowBatches<count, kBatch> rows(args.tiling, at); rows.any(); rows.next()) {
      rows.load_or(args.x, first, xs);  // which adds nothing
#pragma unroll
      for (int u = 0; u < kBatch; ++u) {
#pragma unroll
        for (int e = 0; e < count; ++e) {
          const float difference = xs[u][e] - shift[e];
          sums[e] += difference;
          squares[e] += difference * difference;
        }
      }
    }
    const Pair sum = sum_over_rows<count>(args.tiling.lane_bits, sums, squares, shared);
    if (!own.exists) return;
    const float weight = 1 / static_cast<float>(at.end - at.begin), mean = sum.first * weight;
    const float variance = sum.second * weight - mean * mean;
    args.parts.values[std::int64_t{block().y} * args.tiling.c + own.channel] = {own_shift + mean, variance < 0 ? 0 : variance};
  }
};

/// What joins the parts of Moments: the share of all rows that a part has, and that the last one has; rows / (rows - 1).
struct Weights {
  float part, last, unbiased;

  DEVICE float of_part(int place, int parts) const { return place < parts - 1 ? part : place == parts - 1 ? last : 0; }
  static Weights of(const RowTiling& tiling) {
    const double rows = tiling.rows, whole_parts = tiling.row_blocks() - 1, share = tiling.rows_per_block / rows;
    return {static_cast<float>(share), static_cast<float>(1 - whole_parts * share),
            static_cast<float>(tiling.rows > 1 ? rows / (rows - 1) : 1)};
  }
};

/// Statistics of the batch: their parts, and where they are written.
struct BatchMoments {
  RowParts parts;
  Weights weights;
  float *mean, *variance, *inv_std;  // (C)
};

/// `inference`: mean and variance are given. Otherwise they are joined from `batch`, which the first blocks also write.
template <class T, int count, bool inference, bool relu, bool residual>
struct Normalise {
  struct Args {
    RowTiling tiling;
    const T *x, *residuals;        // (rows, C)
    const float *mean, *variance;  // (C), of inference
    const float *gamma, *beta;     // (C)
    BatchMoments batch;
    float eps;
    T* y;  // (rows, C)
  };
  static constexpr int threads = kRowThreads, min_blocks = 2;
  using Parameters = ChannelParameters<2, count>;
  static constexpr std::uint32_t shared_bytes = kJoinBytes<count> + Parameters::kBytes;

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const RowPlace at = row_place(args.tiling);
    constexpr int kBatch = (residual ? 8 : 16) / sizeof(T);
    LoadedPack<T, count> xs[kBatch], residuals[kBatch];
    RowBatches<count, kBatch> rows(args.tiling, at);
    const auto load = [&] {
      rows.load(args.x, xs);
      if constexpr (residual) rows.load(args.residuals, residuals);
    };
    const Parameters parameters(shared, kJoinBytes<count>);
    prepare(args, parameters, shared, load);
    if (at.pack >= args.tiling.packs) return;
    float factor[count], shift[count];
    parameters.get(0, args.tiling, factor);
    parameters.get(1, args.tiling, shift);
#pragma unroll 1
    while (rows.any()) {
      rows.visit(args.y, [&](int u, T* to) {
        Pack<T, count> y;
#pragma unroll
        for (int e = 0; e < count; ++e) {
          float value = xs[u][e] * factor[e] + shift[e];
          if constexpr (residual) value += residuals[u][e];
          y.values[e] = Rounded<T>::of(relu ? rectified(value) : value);
        }
        store_pack<count>(to, y);
      });
      rows.next();
      load();
    }
  }

  /// Puts factor and shift of the block's channels:  gamma * (x - mean) * inv_std + beta = x * factor + shift.
  /// load() requests the first rows, after what this waits for.
  template <class Load>
  DEVICE static void prepare(const Args& args, const Parameters& parameters, SharedBytes shared, const Load& load) {
    const ChannelPlace own = channel_place<count>(args.tiling);
    float gamma = 0, beta = 0, mean = 0, variance = 0;
    if (own.exists) {
      gamma = args.gamma[own.channel];
      beta = args.beta[own.channel];
    }
    if constexpr (inference) {
      if (own.exists) {
        mean = args.mean[own.channel];
        variance = args.variance[own.channel];
      }
      load();
    } else {
      const BatchMoments& batch = args.batch;
      if (own.exists) mean = batch.parts.values[own.channel].first;
      const Pair sums = join_rows<count>(args.tiling, batch.parts, shared, load,
                                         [&](int part, const Pair& moments, float reference, Pair& to) {
                                           const float weight = batch.weights.of_part(part, batch.parts.count);
                                           const float difference = moments.first - reference, weighted = weight * difference;
                                           to.first += weighted;
                                           to.second += weight * moments.second + weighted * difference;
                                         });
      mean += sums.first;
      variance = sums.second - sums.first * sums.first;
      if (variance < 0) variance = 0;
    }
    if (own.exists) {
      const float inv_std = inverse_deviation(variance, args.eps);
      const float factor = gamma * inv_std;
      parameters.put(0, factor);
      parameters.put(1, beta - mean * factor);
      if (!inference && block().y == 0) {
        args.batch.mean[own.channel] = mean;
        args.batch.variance[own.channel] = variance * args.batch.weights.unbiased;
        args.batch.inv_std[own.channel] = inv_std;
      }
    }
    sync_block();
  }
};

/// Operands of both backward kernels.
template <class T>
struct GradientOperands {
  const T *dy, *x, *y;  // (rows, C); y is null unless relu
  const float* mean;    // (C)
};

/// A batch of rows of these operands.
template <class T, int count, int batch, bool relu>
struct GradientRows {
  LoadedPack<T, count> dys[batch], xs[batch], ys[batch];

  DEVICE void load(const GradientOperands<T>& in, const RowBatches<count, batch>& rows) {
    rows.load(in.dy, dys);
    rows.load(in.x, xs);
    if constexpr (relu) rows.load(in.y, ys);
  }
  /// The gradient of the activation's input.
  DEVICE float g(int u, int e) const {
    const float dy = dys[u][e];
    return relu && ys[u][e] <= 0 ? 0 : dy;
  }
  DEVICE float x(int u, int e) const { return xs[u][e]; }
};

template <class T, int count, bool relu>
struct GradientSums {
  struct Args {
    RowTiling tiling;
    GradientOperands<T> in;
    RowParts parts;  // sums of g and g * (x - mean)
  };
  static constexpr int threads = kRowThreads, min_blocks = 2;
  static constexpr std::uint32_t shared_bytes = kRowSumsBytes<count>;

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const RowPlace at = row_place(args.tiling);
    float sums[count] = {}, products[count] = {}, mean[count] = {};
    if (at.pack < args.tiling.packs) {
#pragma unroll
      for (int e = 0; e < count; ++e) mean[e] = args.in.mean[at.pack * count + e];
    }
    constexpr int kBatch = 8 / sizeof(T);
#pragma unroll 1
    for (RowBatches<count, kBatch> rows(args.tiling, at); rows.any(); rows.next()) {
      GradientRows<T, count, kBatch, relu> in;
      in.load(args.in, rows);
#pragma unroll
      for (int u = 0; u < kBatch; ++u) {
#pragma unroll
        for (int e = 0; e < count; ++e) {
          const float g = in.g(u, e);  // 0 if the row does not exist
          sums[e] += g;
          products[e] += g * (in.x(u, e) - mean[e]);
        }
      }
    }
    const ChannelPlace own = channel_place<count>(args.tiling);
    const Pair sum = sum_over_rows<count>(args.tiling.lane_bits, sums, products, shared);
    if (own.exists) args.parts.values[std::int64_t{block().y} * args.tiling.c + own.channel] = sum;
  }
};

template <class T, int count, bool relu, bool residual>
struct Gradient {
  struct Args {
    RowTiling tiling;
    GradientOperands<T> in;
    RowParts parts;                // of GradientSums
    const float *gamma, *inv_std;  // (C)
    float *dgamma, *dbeta;         // (C)
    T *dx, *d_residual;            // (rows, C); dx may be dy
    float share;                   // 1 / rows
    bool add_parameters, add_x, add_residual;
  };
  static constexpr int threads = kRowThreads, min_blocks = 2;
  using Parameters = ChannelParameters<3, count>;
  static constexpr std::uint32_t shared_bytes = kJoinBytes<count> + Parameters::kBytes;

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const RowPlace at = row_place(args.tiling);
    constexpr int kBatch = 6 / sizeof(T);
    GradientRows<T, count, kBatch, relu> in;
    RowBatches<count, kBatch> rows(args.tiling, at);
    const Parameters parameters(shared, kJoinBytes<count>);
    prepare(args, parameters, shared, [&] { in.load(args.in, rows); });
    if (at.pack >= args.tiling.packs) return;
    float factor[count], slope[count], shift[count];
    parameters.get(0, args.tiling, factor);
    parameters.get(1, args.tiling, slope);
    parameters.get(2, args.tiling, shift);
#pragma unroll 1
    while (rows.any()) {
      rows.visit(args.dx, [&](int u, T* to) {
        write_pack(to, args.add_x, [&](int e) { return factor[e] * in.g(u, e) + (slope[e] * in.x(u, e) + shift[e]); });
      });
      if constexpr (residual) {
        rows.visit(args.d_residual,
                   [&](int u, T* to) { write_pack(to, args.add_residual, [&](int e) { return in.g(u, e); }); });
      }
      rows.next();
      in.load(args.in, rows);
    }
  }

  /// to[e] = value(e), or is added to.
  template <class Value>
  DEVICE static void write_pack(T* to, bool add, const Value& value) {
    LoadedPack<T, count> old;
    if (add) old.load(to);
    Pack<T, count> pack;
#pragma unroll
    for (int e = 0; e < count; ++e) pack.values[e] = Rounded<T>::of(add ? old[e] + value(e) : value(e));
    store_pack<count>(to, pack);
  }

  /// Puts factor, slope and shift of the block's channels:  dx = factor * g + slope * x + shift.
  /// load() requests the first rows, after what this waits for.
  template <class Load>
  DEVICE static void prepare(const Args& args, const Parameters& parameters, SharedBytes shared, const Load& load) {
    const ChannelPlace own = channel_place<count>(args.tiling);
    float mean = 0, gamma = 0, inv_std = 0;
    if (own.exists) {
      mean = args.in.mean[own.channel];
      gamma = args.gamma[own.channel];
      inv_std = args.inv_std[own.channel];
    }
    const Pair sums = join_rows<count>(args.tiling, args.parts, shared, load, [](int, const Pair& part, float, Pair& to) {
      to.first += part.first;
      to.second += part.second;
    });
    if (own.exists) {
      const float dgamma = sums.second * inv_std;
      const float factor = gamma * inv_std, slope = -factor * (dgamma * args.share * inv_std);
      parameters.put(0, factor);
      parameters.put(1, slope);
      parameters.put(2, -factor * (sums.first * args.share) - mean * slope);
      if (block().y == 0) {
        write(args.dgamma[own.channel], dgamma, args.add_parameters);
        write(args.dbeta[own.channel], sums.first, args.add_parameters);
      }
    }
    sync_block();
  }
};

}  // namespace apam::kernels::cuda::batch_norm
