// Batch norm. Training makes two passes over x: statistics, then normalisation. Backward makes two passes over dy and x: sums,
// then dx. With ReLU, the first of these also reads y and stores one bit per element, so that the second need not read y.
//
// Sums over rows are taken block by block (vector/batch_norm.h) and joined in double, in the order of the blocks. Blocks depend
// only on the problem, so results do not depend on the number of threads. Each thread takes a contiguous range of blocks.
// Variances are joined as in Chan, Golub, LeVeque 1979:
//   mean = sum_b n_b mean_b / n,   m2 = sum_b [ m2_b + n_b (mean_b - mean)^2 ]
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/elements.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"
#include "kernels/cpu/streaming.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kBlockFloats = 16384;  // 64 KiB per operand
constexpr std::int64_t kMinRows = 64;         // per block, so that joining blocks costs little compared with summing them
constexpr std::int64_t kChannelGrain = 16;    // channels per cache line of sums

std::int64_t rows_per_block(const BatchNorm::Problem& problem) {
  return std::max(kMinRows, kBlockFloats / std::max<std::int64_t>(1, problem.c));
}

/// NaN if the variance overflows float32, as the contract requires.
double inverse_deviation(double variance, double eps) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return variance <= kLargest ? 1.0 / std::sqrt(variance + eps) : std::numeric_limits<double>::quiet_NaN();
}

/// Blocks of rows, and workspace for the sums of each. T: the type in which activations are stored.
template <class T>
class BlockKernel : public BatchNorm::Kernel {
 protected:
  /// Two sums over a block, and scratch; (C) each.
  struct Sums {
    float *first, *second, *scratch;
  };
  /// The two sums over all blocks, (C) each.
  struct Joined {
    double *first, *second;
  };

  BlockKernel(const BatchNorm::Problem& problem, const Isa& isa)
      : problem_(problem),
        rows_(problem.rows),
        c_(problem.c),
        padded_c_(round_up(c_, 16)),
        block_rows_(rows_per_block(problem)),
        blocks_(ceil_div(rows_, block_rows_)),
        kernels_(activation_kernels_of<T>(isa).batch_norm) {}

  /// Plans workspace for the sums, for passes that need them.
  void plan_sums() {
    sums_ = workspace_.add<float>(3 * blocks_ * padded_c_);
    joined_ = workspace_.add<double>(2 * padded_c_);
  }

  Sums sums(std::byte* workspace, std::int64_t block) const {
    float* first = sums_.in(workspace) + 3 * block * padded_c_;
    return {first, first + padded_c_, first + 2 * padded_c_};
  }
  /// The joined sums, set to zero for `channels`.
  Joined joined(std::byte* workspace, Range channels) const {
    const Joined to{joined_.in(workspace), joined_.in(workspace) + padded_c_};
    std::fill(to.first + channels.begin, to.first + channels.end, 0.0);
    std::fill(to.second + channels.begin, to.second + channels.end, 0.0);
    return to;
  }
  Range rows_of(std::int64_t block) const { return {block * block_rows_, std::min(rows_, (block + 1) * block_rows_)}; }

  /// Calls body(block, rows) for every block, in parallel.
  template <class Body>
  void for_each_block(Exec& exec, const Body& body) const {
    parallel_for(exec.threads(), blocks_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) body(block, rows_of(block));
    });
  }

  BatchNorm::Problem problem_;
  std::int64_t rows_, c_;
  std::int64_t padded_c_;  // whole cache lines, to avoid false sharing
  std::int64_t block_rows_, blocks_;
  const BatchNormKernels<T>& kernels_;
  WorkspacePlan workspace_;

 private:
  Region<float> sums_;     // (blocks, 3, C)
  Region<double> joined_;  // (2, C)
};

/// Normalisation, the last step of both forward passes: y from x with a factor and shift per channel.
template <class T>
class BatchNormForwardKernel : public BlockKernel<T> {
 protected:
  using Block = BlockKernel<T>;
  using Block::block_rows_, Block::c_, Block::kernels_, Block::padded_c_, Block::problem_, Block::rows_, Block::workspace_;

  BatchNormForwardKernel(const BatchNorm::Problem& problem, const Isa& isa)
      : Block(problem, isa), factor_(workspace_.template add<float>(padded_c_)), streams_(isa.streams) {}

  void normalise(Exec& exec, const ChannelMap& map, In x, In residual, Out y) const {
    const T *xs = elements<T>(x, "batch_norm: x"), *residuals = elements<T>(residual, "batch_norm: residual");
    T* ys = elements<T>(y, "batch_norm: y");
    const bool stream = streams_ && worth_streaming(ys, rows_, c_);
    this->for_each_block(exec, [&](std::int64_t, Range rows) {
      const std::int64_t at = rows.begin * c_;
      kernels_.normalise(map, {xs + at, problem_.residual ? residuals + at : nullptr}, problem_.relu, ys + at, stream,
                         rows.end - rows.begin, c_);
    });
  }

  Region<float> factor_;  // (C)

 private:
  bool streams_;
};

template <class T>
class BatchNormForwardTrainingKernel final : public BatchNormForwardKernel<T> {
  using Block = BlockKernel<T>;
  using Block::blocks_, Block::c_, Block::kernels_, Block::problem_, Block::rows_, Block::workspace_;
  using typename Block::Joined;
  using typename Block::Sums;
  using BatchNormForwardKernel<T>::factor_;

 public:
  BatchNormForwardTrainingKernel(Exec& exec, const BatchNorm::Problem& problem, const Isa& isa)
      : BatchNormForwardKernel<T>(problem, isa) {
    this->plan_sums();
    exec.reserve_workspace(workspace_.bytes());
  }

  void forward_training(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                        const BatchNorm::BatchStatistics& out) override {
    const T* xs = elements<T>(x, "batch_norm: x");
    std::byte* workspace = exec.workspace(workspace_.bytes());
    this->for_each_block(exec, [&](std::int64_t block, Range rows) {
      const Sums to = this->sums(workspace, block);
      kernels_.moments(xs + rows.begin * c_, rows.end - rows.begin, c_, to.scratch, to.first, to.second);
    });
    float* factor = factor_.in(workspace);
    parallel_for(exec.threads(), c_, kChannelGrain, [&](std::int64_t begin, std::int64_t end) {
      const Joined joined = join_moments(workspace, {begin, end});
      for (std::int64_t j = begin; j < end; ++j) {
        const double inv_std = inverse_deviation(joined.second[j] / static_cast<double>(rows_), double{problem_.eps});
        out.mean.data()[j] = static_cast<float>(joined.first[j]);
        out.variance.data()[j] =
            static_cast<float>(joined.second[j] / static_cast<double>(std::max<std::int64_t>(rows_ - 1, 1)));
        out.inv_std.data()[j] = static_cast<float>(inv_std);
        factor[j] = static_cast<float>(inv_std * double{gamma.data()[j]});
      }
    });
    this->normalise(exec, {out.mean.data(), factor, beta.data()}, x, residual, y);
  }

 private:
  /// Joins the blocks' mean and m2 for some channels.
  Joined join_moments(std::byte* workspace, Range channels) const {
    const Joined to = this->joined(workspace, channels);
    for (std::int64_t block = 0; block < blocks_; ++block) {
      const float* mean = this->sums(workspace, block).first;
      const Range rows = this->rows_of(block);
      const double weight = static_cast<double>(rows.end - rows.begin) / static_cast<double>(rows_);
      for (std::int64_t j = channels.begin; j < channels.end; ++j) to.first[j] += weight * double{mean[j]};
    }
    for (std::int64_t block = 0; block < blocks_; ++block) {
      const Sums from = this->sums(workspace, block);
      const Range rows = this->rows_of(block);
      const auto count = static_cast<double>(rows.end - rows.begin);
      for (std::int64_t j = channels.begin; j < channels.end; ++j) {
        const double shift = double{from.first[j]} - to.first[j];
        to.second[j] += double{from.second[j]} + count * shift * shift;
      }
    }
    return to;
  }
};

template <class T>
class BatchNormForwardInferenceKernel final : public BatchNormForwardKernel<T> {
  using Block = BlockKernel<T>;
  using Block::c_, Block::problem_, Block::workspace_;
  using BatchNormForwardKernel<T>::factor_;

 public:
  BatchNormForwardInferenceKernel(Exec& exec, const BatchNorm::Problem& problem, const Isa& isa)
      : BatchNormForwardKernel<T>(problem, isa) {
    exec.reserve_workspace(workspace_.bytes());
  }

  void forward_inference(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta,
                         ConstSpan<float> running_mean, ConstSpan<float> running_variance, Out y) override {
    float* factor = factor_.in(exec.workspace(workspace_.bytes()));
    for (std::int64_t j = 0; j < c_; ++j) {
      const double inv_std = inverse_deviation(double{running_variance.data()[j]}, double{problem_.eps});
      factor[j] = static_cast<float>(inv_std * double{gamma.data()[j]});
    }
    this->normalise(exec, {running_mean.data(), factor, beta.data()}, x, residual, y);
  }
};

template <class T>
class BatchNormBackwardKernel final : public BlockKernel<T> {
  using Block = BlockKernel<T>;
  using Block::blocks_, Block::c_, Block::kernels_, Block::padded_c_, Block::problem_, Block::rows_, Block::workspace_;
  using typename Block::Joined;
  using typename Block::Sums;

 public:
  BatchNormBackwardKernel(Exec& exec, const BatchNorm::Problem& problem, const Isa& isa)
      : Block(problem, isa),
        gate_row_(ceil_div(c_, isa.width) * gate_bytes(isa.width)),
        coefficients_(workspace_.template add<float>(3 * padded_c_)),
        gate_(workspace_.template add<Gate>(problem.relu ? rows_ * gate_row_ : 0)) {
    this->plan_sums();
    exec.reserve_workspace(workspace_.bytes());
  }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, ConstSpan<float> gamma,
                const BatchNorm::Gradients& out) override {
    const T *dys = elements<T>(dy, "batch_norm: dy"), *xs = elements<T>(saved.x, "batch_norm: x"),
            *ys = elements<T>(saved.y, "batch_norm: y");
    T *dxs = elements<T>(out.dx, "batch_norm: dx"), *d_residuals = elements<T>(out.d_residual, "batch_norm: d_residual");
    std::byte* workspace = exec.workspace(workspace_.bytes());
    const auto in = [&](Range rows) { return GradientIn<T>{dys + rows.begin * c_, xs + rows.begin * c_}; };
    const auto gate = [&](Range rows) { return problem_.relu ? gate_.in(workspace) + rows.begin * gate_row_ : nullptr; };
    this->for_each_block(exec, [&](std::int64_t block, Range rows) {
      const Sums to = this->sums(workspace, block);
      const T* y = problem_.relu ? ys + rows.begin * c_ : nullptr;
      kernels_.gradient_sums(in(rows), y, gate(rows), {saved.mean.data(), to.first, to.second}, rows.end - rows.begin, c_);
    });
    parallel_for(exec.threads(), c_, kChannelGrain, [&](std::int64_t begin, std::int64_t end) {
      join_gradients(workspace, {begin, end}, saved, gamma, out);
    });
    const float* factor = coefficients_.in(workspace);
    const ChannelGradient map{saved.mean.data(), factor, factor + padded_c_, factor + 2 * padded_c_};
    this->for_each_block(exec, [&](std::int64_t, Range rows) {
      const std::int64_t at = rows.begin * c_;
      kernels_.gradient(map, in(rows), gate(rows),
                        {dxs + at, problem_.residual ? d_residuals + at : nullptr, out.write_x == Write::add,
                         out.write_residual == Write::add},
                        rows.end - rows.begin, c_);
    });
  }

 private:
  /// Adds both sums over the blocks for some channels.
  Joined join_sums(std::byte* workspace, Range channels) const {
    const Joined to = this->joined(workspace, channels);
    for (std::int64_t block = 0; block < blocks_; ++block) {
      const Sums from = this->sums(workspace, block);
      for (std::int64_t j = channels.begin; j < channels.end; ++j) to.first[j] += double{from.first[j]};
      for (std::int64_t j = channels.begin; j < channels.end; ++j) to.second[j] += double{from.second[j]};
    }
    return to;
  }

  /// Computes dgamma, dbeta and the coefficients of dx (factor, mean_g, slope) for some channels.
  void join_gradients(std::byte* workspace, Range channels, const BatchNorm::Saved& saved, ConstSpan<float> gamma,
                      const BatchNorm::Gradients& out) const {
    const Joined sum = join_sums(workspace, channels);
    const auto write = [&](float& to, double value) {
      const auto rounded = static_cast<float>(value);
      to = out.write_parameters == Write::add ? to + rounded : rounded;
    };
    const double rows = static_cast<double>(rows_);
    for (std::int64_t j = channels.begin; j < channels.end; ++j) {
      const double inv_std = double{saved.inv_std.data()[j]};
      write(out.dgamma.data()[j], sum.second[j] * inv_std);
      write(out.dbeta.data()[j], sum.first[j]);
      float* to = coefficients_.in(workspace) + j;
      to[0] = static_cast<float>(double{gamma.data()[j]} * inv_std);
      to[padded_c_] = static_cast<float>(sum.first[j] / rows);
      to[2 * padded_c_] = static_cast<float>(sum.second[j] * inv_std * inv_std / rows);
    }
  }

  std::int64_t gate_row_;       // bytes
  Region<float> coefficients_;  // (3, C)
  Region<Gate> gate_;           // (rows, gate row)
};

}  // namespace

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem, BatchNorm::Pass pass, const Isa& isa) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<BatchNorm, BatchNormForwardTrainingKernel<T>, BatchNormForwardInferenceKernel<T>,
                        BatchNormBackwardKernel<T>>(pass, exec, problem, isa);
  });
}

}  // namespace apam::kernels::cpu
