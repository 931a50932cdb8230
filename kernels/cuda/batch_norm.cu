// Batch norm: the kernels of batch_norm.h, two in each pass of training. Training reads x twice, backward reads dy, x and (with
// a ReLU) y twice; add and ReLU are fused into the last kernel of each pass. Sums do not depend on the GPU: blocks depend on
// the problem only.
#include "kernels/cuda/batch_norm.h"

#include "kernels/cuda/make.h"

namespace apam::kernels::cuda {
namespace {

/// Rows per thread for which one block per multiprocessor is enough: sums keep more rows in flight, and their blocks make
/// parts, which the next kernel reads.
constexpr int kFewSumRows = 10, kFewMapRows = 4;

/// run.template operator()<relu, residual>().
template <class Run>
void with_flags(bool relu, bool residual, const Run& run) {
  if (relu) {
    residual ? run.template operator()<true, true>() : run.template operator()<true, false>();
  } else {
    residual ? run.template operator()<false, true>() : run.template operator()<false, false>();
  }
}

/// Tilings, and workspace for sums per block of rows.
template <class T>
class BlockKernel : public BatchNorm::Kernel {
 protected:
  explicit BlockKernel(const BatchNorm::Problem& problem) : problem_(problem) {}

  /// Reserves room for the sums with packs of either size.
  void plan_sums(Exec& exec) {
    int rows = 0;
    for (const int count : {1, batch_norm::kPack}) {
      if (problem_.c % count == 0) rows = std::max(rows, sum_tiling(count).row_blocks());
    }
    parts_ = workspace_.add<Pair>(std::int64_t{rows} * problem_.c);
    exec.reserve_workspace(workspace_.bytes());
  }
  RowTiling sum_tiling(int count) const { return tiling(count, kFewSumRows); }
  RowTiling map_tiling(int count) const { return tiling(count, kFewMapRows); }
  RowParts parts(std::byte* workspace, const RowTiling& tiling) const {
    return {parts_.in(workspace), tiling.row_blocks(), problem_.c};
  }

  BatchNorm::Problem problem_;
  WorkspacePlan workspace_{kWorkspaceAlignment};

 private:
  RowTiling tiling(int count, int few) const {
    return RowTiling::of(problem_.rows, problem_.c, count, sizeof(T), {few, Target::multiprocessors});
  }

  Region<Pair> parts_;  // (row blocks, C)
};

/// What normalisation reads per channel.
struct Parameters {
  const float *gamma, *beta;     // (C)
  const float *mean, *variance;  // (C), of inference
};

template <class T>
class ForwardKernel : public BlockKernel<T> {
 protected:
  using BlockKernel<T>::BlockKernel;
  using BlockKernel<T>::problem_;

  template <bool inference>
  void normalise(Exec& exec, In x, In residual, const Parameters& of, const batch_norm::BatchMoments& batch, Out y) const {
    const T *xs = elements<T>(x, "batch_norm: x"),
            *residuals = problem_.residual ? elements<T>(residual, "batch_norm: residual") : nullptr;
    T* ys = elements<T>(y, "batch_norm: y");
    const auto run = [&]<int count>() {
      const RowTiling tiling = this->map_tiling(count);
      with_flags(problem_.relu, problem_.residual, [&]<bool relu, bool residual>() {
        launch<batch_norm::Normalise<T, count, inference, relu, residual>>(
            exec, tiling.blocks(), {tiling, xs, residuals, of.mean, of.variance, of.gamma, of.beta, batch, problem_.eps, ys});
      });
    };
    with_packs<T, batch_norm::kPack>(problem_.c, run, xs, residuals, ys);
  }
};

template <class T>
class ForwardTrainingKernel final : public ForwardKernel<T> {
  using BlockKernel<T>::problem_, BlockKernel<T>::workspace_;

 public:
  ForwardTrainingKernel(Exec& exec, const BatchNorm::Problem& problem) : ForwardKernel<T>(problem) { this->plan_sums(exec); }

  void forward_training(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                        const BatchNorm::BatchStatistics& out) override {
    const T* xs = elements<T>(x, "batch_norm: x");
    std::byte* const workspace = exec.workspace(workspace_.bytes());
    batch_norm::BatchMoments batch{{}, {}, out.mean.data(), out.variance.data(), out.inv_std.data()};
    const auto run = [&]<int count>() {
      const RowTiling tiling = this->sum_tiling(count);
      batch.parts = this->parts(workspace, tiling);
      batch.weights = batch_norm::Weights::of(tiling);
      launch<batch_norm::Moments<T, count>>(exec, tiling.blocks(), {tiling, xs, batch.parts});
    };
    with_packs<T, batch_norm::kPack>(problem_.c, run, xs);
    this->template normalise<false>(exec, x, residual, {gamma.data(), beta.data(), nullptr, nullptr}, batch, y);
  }
};

template <class T>
class ForwardInferenceKernel final : public ForwardKernel<T> {
 public:
  ForwardInferenceKernel(Exec&, const BatchNorm::Problem& problem) : ForwardKernel<T>(problem) {}

  void forward_inference(Exec& exec, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta,
                         ConstSpan<float> running_mean, ConstSpan<float> running_variance, Out y) override {
    this->template normalise<true>(exec, x, residual, {gamma.data(), beta.data(), running_mean.data(), running_variance.data()},
                                   {}, y);
  }
};

template <class T>
class BackwardKernel final : public BlockKernel<T> {
  using BlockKernel<T>::problem_, BlockKernel<T>::workspace_;

 public:
  BackwardKernel(Exec& exec, const BatchNorm::Problem& problem) : BlockKernel<T>(problem) { this->plan_sums(exec); }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, ConstSpan<float> gamma,
                const BatchNorm::Gradients& out) override {
    const T *dys = elements<T>(dy, "batch_norm: dy"), *xs = elements<T>(saved.x, "batch_norm: x"),
            *ys = problem_.relu ? elements<T>(saved.y, "batch_norm: y") : nullptr;
    T *dxs = elements<T>(out.dx, "batch_norm: dx"),
      *d_residuals = problem_.residual ? elements<T>(out.d_residual, "batch_norm: d_residual") : nullptr;
    std::byte* const workspace = exec.workspace(workspace_.bytes());
    const batch_norm::GradientOperands<T> in{dys, xs, ys, saved.mean.data()};
    const auto run = [&]<int count>() {
      const RowTiling sums = this->sum_tiling(count), map = this->map_tiling(count);
      const RowParts parts = this->parts(workspace, sums);
      with_flags(problem_.relu, problem_.residual, [&]<bool relu, bool residual>() {
        launch<batch_norm::GradientSums<T, count, relu>>(exec, sums.blocks(), {sums, in, parts});
        launch<batch_norm::Gradient<T, count, relu, residual>>(
            exec, map.blocks(),
            {map, in, parts, gamma.data(), saved.inv_std.data(), out.dgamma.data(), out.dbeta.data(), dxs, d_residuals,
             1 / static_cast<float>(problem_.rows), out.write_parameters == Write::add, out.write_x == Write::add,
             out.write_residual == Write::add});
      });
    };
    with_packs<T, batch_norm::kPack>(problem_.c, run, dys, xs, ys, dxs, d_residuals);
  }
};

}  // namespace

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem, BatchNorm::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<BatchNorm, ForwardTrainingKernel<T>, ForwardInferenceKernel<T>, BackwardKernel<T>>(pass, exec, problem);
  });
}

}  // namespace apam::kernels::cuda
