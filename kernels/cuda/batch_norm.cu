// Batch norm: the kernels of batch_norm.h, two in each pass of training. Training reads x twice, backward reads dy, x and (with
// a ReLU) y twice; add and ReLU are fused into the last kernel of each pass. Sums do not depend on the GPU: blocks depend on
// the problem only.
#include "kernels/cuda/batch_norm.h"

#include "kernels/cuda/make.h"

namespace apam::kernels::cuda {
namespace {

// At most four blocks per multiprocessor of a large GPU (132) sum rows; those that map rows to rows are shorter. A thread has
// enough rows to pay for the parameters of its channels, which it reads first.
constexpr int kSumBlocks = 528, kSumRows = 8;
constexpr int kMapBlocks = 2112, kMapRows = 8;

/// Tilings, and workspace for sums per block of rows.
template <class T>
class BlockKernel : public BatchNorm::Kernel {
 protected:
  explicit BlockKernel(const BatchNorm::Problem& problem) : problem_(problem) {}

  /// Reserves room for the sums with packs of either size, and their counters.
  void plan_sums(const Exec& exec) {
    std::int64_t rows = 0, counters = 0;
    for (const int count : {1, kCount}) {
      if (problem_.c % count != 0) continue;
      const RowTiling tiling = sum_tiling(count);
      rows = std::max<std::int64_t>(rows, tiling.row_blocks());
      const auto parts = PartGroups::of(tiling.row_blocks());
      counters = std::max(counters, std::int64_t{tiling.channel_blocks()} * parts.counters());
    }
    partial_ = workspace_.add<double>(2 * rows * problem_.c);
    counters_ = Counters(exec, counters);
  }
  RowTiling sum_tiling(int count) const { return RowTiling::of(problem_.rows, problem_.c, count, kSumRows, kSumBlocks); }
  RowTiling map_tiling(int count) const { return RowTiling::of(problem_.rows, problem_.c, count, kMapRows, kMapBlocks); }
  batch_norm::Partial partial(std::byte* workspace, const RowTiling& tiling) const {
    return {partial_.in(workspace), counters_.data(), PartGroups::of(tiling.row_blocks()), problem_.c};
  }

  static constexpr int kCount = 16 / sizeof(T);
  BatchNorm::Problem problem_;
  WorkspacePlan workspace_{kWorkspaceAlignment};

 private:
  Region<double> partial_;  // (row blocks, 2, C)
  Counters counters_;
};

/// What normalisation reads per channel.
struct Statistics {
  const float *mean, *spread, *gamma, *beta;  // (C); spread: see batch_norm::Normalise
};

template <class T>
class ForwardKernel : public BlockKernel<T> {
 protected:
  using BlockKernel<T>::BlockKernel;
  using BlockKernel<T>::problem_;

  template <bool inference>
  void normalise(Exec& exec, In x, In residual, const Statistics& of, Out y) const {
    const T *xs = elements<T>(x, "batch_norm: x"), *residuals = elements<T>(residual, "batch_norm: residual");
    T* ys = elements<T>(y, "batch_norm: y");
    if (!problem_.residual) residuals = nullptr;
    const auto run = [&]<int count>() {
      const RowTiling tiling = this->map_tiling(count);
      launch<batch_norm::Normalise<T, count, inference>>(
          exec, tiling.blocks(),
          {tiling, xs, residuals, of.mean, of.spread, of.gamma, of.beta, problem_.eps, problem_.relu, ys});
    };
    with_packs<T>(problem_.c, run, xs, residuals, ys);
  }
};

template <class T>
class ForwardTrainingKernel final : public ForwardKernel<T> {
  using BlockKernel<T>::problem_, BlockKernel<T>::workspace_;

 public:
  ForwardTrainingKernel(Exec& exec, const BatchNorm::Problem& problem) : ForwardKernel<T>(problem) {
    this->plan_sums(exec);
    exec.reserve_workspace(workspace_.bytes());
  }

  void forward_training(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                        const BatchNorm::BatchStatistics& out) override {
    const T* xs = elements<T>(x, "batch_norm: x");
    std::byte* const workspace = exec.workspace(workspace_.bytes());
    const auto run = [&]<int count>() {
      const RowTiling tiling = this->sum_tiling(count);
      launch<batch_norm::Moments<T, count>>(exec, tiling.blocks(),
                                            {tiling, xs, this->partial(workspace, tiling), problem_.eps, out.mean.data(),
                                             out.variance.data(), out.inv_std.data()});
    };
    with_packs<T>(problem_.c, run, xs);
    this->template normalise<false>(exec, x, residual, {out.mean.data(), out.inv_std.data(), gamma.data(), beta.data()}, y);
  }
};

template <class T>
class ForwardInferenceKernel final : public ForwardKernel<T> {
 public:
  ForwardInferenceKernel(Exec&, const BatchNorm::Problem& problem) : ForwardKernel<T>(problem) {}

  void forward_inference(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta,
                         ConstSpan<float> running_mean, ConstSpan<float> running_variance, Out y) override {
    this->template normalise<true>(exec, x, residual, {running_mean.data(), running_variance.data(), gamma.data(), beta.data()},
                                   y);
  }
};

template <class T>
class BackwardKernel final : public BlockKernel<T> {
  using BlockKernel<T>::problem_, BlockKernel<T>::workspace_;

 public:
  BackwardKernel(Exec& exec, const BatchNorm::Problem& problem)
      : BlockKernel<T>(problem), coefficients_(workspace_.template add<float>(std::int64_t{3} * problem.c)) {
    this->plan_sums(exec);
    exec.reserve_workspace(workspace_.bytes());
  }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, ConstSpan<float> gamma,
                const BatchNorm::Gradients& out) override {
    const T *dys = elements<T>(dy, "batch_norm: dy"), *xs = elements<T>(saved.x, "batch_norm: x"),
            *ys = problem_.relu ? elements<T>(saved.y, "batch_norm: y") : nullptr;
    T *dxs = elements<T>(out.dx, "batch_norm: dx"),
      *d_residuals = problem_.residual ? elements<T>(out.d_residual, "batch_norm: d_residual") : nullptr;
    std::byte* workspace = exec.workspace(workspace_.bytes());
    float* values = coefficients_.in(workspace);
    const batch_norm::Coefficients coefficients{values, values + problem_.c, values + 2 * problem_.c};
    const batch_norm::GradientOperands<T> in{dys, xs, ys, saved.mean.data()};
    const auto run = [&]<int count>() {
      const RowTiling sums = this->sum_tiling(count), map = this->map_tiling(count);
      launch<batch_norm::GradientSums<T, count>>(
          exec, sums.blocks(),
          {sums, in, this->partial(workspace, sums), gamma.data(), saved.inv_std.data(), coefficients, out.dgamma.data(),
           out.dbeta.data(), out.write_parameters == Write::add});
      launch<batch_norm::Gradient<T, count>>(
          exec, map.blocks(),
          {map, in, coefficients, dxs, d_residuals, out.write_x == Write::add, out.write_residual == Write::add});
    };
    with_packs<T>(problem_.c, run, dys, xs, ys, dxs, d_residuals);
  }

 private:
  Region<float> coefficients_;  // (3, C)
};

}  // namespace

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem, BatchNorm::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<BatchNorm, ForwardTrainingKernel<T>, ForwardInferenceKernel<T>, BackwardKernel<T>>(pass, exec, problem);
  });
}

}  // namespace apam::kernels::cuda
