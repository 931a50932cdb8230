// Batch norm. Training takes two sweeps over x, statistics and normalisation; backward two over dy, x and y, sums and dx.
//
// Sums over rows are made block by block (vector/batch_norm.h) and joined in double, always in the order of the blocks.
// A block is as many rows as stay in the second-level cache, whatever the number of threads: results do not depend on it.
// Blocks go over threads. Variance is joined from the blocks' own as in Chan, Golub, LeVeque 1979:
//   mean = sum_b n_b mean_b / n,   m2 = sum_b [ m2_b + n_b (mean_b - mean)^2 ]
#include <cmath>

#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kBlockFloats = 16384;  // 64 KiB of each operand
constexpr std::int64_t kChannelGrain = 16;    // channels of one cache line of sums

class BatchNormKernel final : public BatchNorm::Kernel {
 public:
  BatchNormKernel(Exec& exec, const BatchNorm::Problem& problem, const Isa& isa)
      : problem_(problem),
        rows_(problem.rows),
        c_(problem.c),
        padded_c_((c_ + 15) / 16 * 16),
        block_rows_(std::max<std::int64_t>(1, kBlockFloats / std::max<std::int64_t>(1, c_))),
        blocks_((rows_ + block_rows_ - 1) / block_rows_),
        kernels_(isa.batch_norm) {
    exec.reserve_workspace(workspace_bytes());
  }

  void forward_training(Exec& exec, In x, In residual, In gamma, In beta, Out y,
                        const BatchNorm::BatchStatistics& out) override {
    auto* scratch = reinterpret_cast<float*>(exec.workspace(workspace_bytes()));
    for_each_block(exec, [&](std::int64_t block, Range rows) {
      kernels_.moments(x.data() + rows.begin * c_, rows.end - rows.begin, c_, first(scratch, block), second(scratch, block));
    });
    float* factor = coefficients(scratch);
    parallel_for(exec.threads(), c_, kChannelGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) {
        const auto [mean, m2] = join_moments(scratch, j);
        const double inv_std = 1.0 / std::sqrt(m2 / static_cast<double>(rows_) + double{problem_.eps});
        out.mean.data()[j] = static_cast<float>(mean);
        out.variance.data()[j] = static_cast<float>(m2 / static_cast<double>(std::max<std::int64_t>(rows_ - 1, 1)));
        out.inv_std.data()[j] = static_cast<float>(inv_std);
        factor[j] = static_cast<float>(inv_std * double{gamma.data()[j]});
      }
    });
    normalise(exec, {out.mean.data(), factor, beta.data()}, x, residual, y);
  }

  void forward_inference(Exec& exec, In x, In residual, In gamma, In beta, In running_mean, In running_variance,
                         Out y) override {
    float* factor = coefficients(reinterpret_cast<float*>(exec.workspace(workspace_bytes())));
    for (std::int64_t j = 0; j < c_; ++j) {
      const double inv_std = 1.0 / std::sqrt(double{running_variance.data()[j]} + double{problem_.eps});
      factor[j] = static_cast<float>(inv_std * double{gamma.data()[j]});
    }
    normalise(exec, {running_mean.data(), factor, beta.data()}, x, residual, y);
  }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, In gamma, const BatchNorm::Gradients& out) override {
    auto* scratch = reinterpret_cast<float*>(exec.workspace(workspace_bytes()));
    const auto in = [&](std::int64_t row) {
      const std::int64_t at = row * c_;
      return GradientIn{dy.data() + at, saved.x.data() + at, problem_.relu ? saved.y.data() + at : nullptr};
    };
    for_each_block(exec, [&](std::int64_t block, Range rows) {
      kernels_.gradient_sums(in(rows.begin), saved.mean.data(), rows.end - rows.begin, c_, first(scratch, block),
                             second(scratch, block));
    });
    parallel_for(exec.threads(), c_, kChannelGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) join_gradients(scratch, j, saved, gamma, out);
    });
    const float* factor = coefficients(scratch);
    const ChannelGradient map{saved.mean.data(), factor, factor + padded_c_, factor + 2 * padded_c_};
    for_each_block(exec, [&](std::int64_t, Range rows) {
      const std::int64_t at = rows.begin * c_;
      kernels_.gradient(map, in(rows.begin),
                        {out.dx.data() + at, problem_.residual ? out.d_residual.data() + at : nullptr,
                         out.write_x == Write::add, out.write_residual == Write::add},
                        rows.end - rows.begin, c_);
    });
  }

 private:
  struct Moments {
    double mean, m2;
  };

  /// Two sums of (C) a block, then three coefficients of (C).
  std::size_t workspace_bytes() const { return static_cast<std::size_t>((2 * blocks_ + 3) * padded_c_) * sizeof(float); }
  float* first(float* scratch, std::int64_t block) const { return scratch + 2 * block * padded_c_; }
  float* second(float* scratch, std::int64_t block) const { return first(scratch, block) + padded_c_; }
  float* coefficients(float* scratch) const { return first(scratch, blocks_); }
  std::int64_t rows_of(std::int64_t block) const { return std::min(block_rows_, rows_ - block * block_rows_); }

  /// Calls body(block, rows) for every block, contiguous runs of blocks over threads.
  template <class Body>
  void for_each_block(Exec& exec, const Body& body) const {
    parallel_for(exec.threads(), blocks_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        body(block, Range{block * block_rows_, block * block_rows_ + rows_of(block)});
      }
    });
  }

  void normalise(Exec& exec, const ChannelMap& map, In x, In residual, Out y) const {
    for_each_block(exec, [&](std::int64_t, Range rows) {
      const std::int64_t at = rows.begin * c_;
      kernels_.normalise(map, x.data() + at, problem_.residual ? residual.data() + at : nullptr, problem_.relu, y.data() + at,
                         rows.end - rows.begin, c_);
    });
  }

  Moments join_moments(float* scratch, std::int64_t j) const {
    double sum = 0.0;
    for (std::int64_t block = 0; block < blocks_; ++block) {
      sum += static_cast<double>(rows_of(block)) * double{first(scratch, block)[j]};
    }
    const double mean = sum / static_cast<double>(rows_);
    double m2 = 0.0;
    for (std::int64_t block = 0; block < blocks_; ++block) {
      const double shift = double{first(scratch, block)[j]} - mean;
      m2 += double{second(scratch, block)[j]} + static_cast<double>(rows_of(block)) * shift * shift;
    }
    return {mean, m2};
  }

  /// dgamma and dbeta of channel j, and its coefficients of dx: factor, mean_g and slope.
  void join_gradients(float* scratch, std::int64_t j, const BatchNorm::Saved& saved, In gamma,
                      const BatchNorm::Gradients& out) const {
    double sum_g = 0.0, sum_gx = 0.0;
    for (std::int64_t block = 0; block < blocks_; ++block) {
      sum_g += double{first(scratch, block)[j]};
      sum_gx += double{second(scratch, block)[j]};
    }
    const auto write = [&](Out to, double value) {
      const auto rounded = static_cast<float>(value);
      to.data()[j] = out.write_parameters == Write::add ? to.data()[j] + rounded : rounded;
    };
    const double inv_std = double{saved.inv_std.data()[j]};
    const double rows = static_cast<double>(rows_);
    write(out.dgamma, sum_gx * inv_std);
    write(out.dbeta, sum_g);
    float* to = coefficients(scratch) + j;
    to[0] = static_cast<float>(double{gamma.data()[j]} * inv_std);
    to[padded_c_] = static_cast<float>(sum_g / rows);
    to[2 * padded_c_] = static_cast<float>(sum_gx * inv_std * inv_std / rows);
  }

  BatchNorm::Problem problem_;
  std::int64_t rows_, c_;
  std::int64_t padded_c_;  // whole cache lines, so that threads do not share one
  std::int64_t block_rows_, blocks_;
  const BatchNormKernels& kernels_;
};

}  // namespace

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem, const Isa& isa) {
  return std::make_unique<BatchNormKernel>(exec, problem, isa);
}

}  // namespace apam::kernels::cpu
