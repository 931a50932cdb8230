// Batch normalisation with oneDNN.
//
// The rows are passed as a batch of 1x1 images, (rows, 1, 1, C). As one image of `rows` pixels, large problems take up to twice
// as long (smaller ones are faster, but only on AVX-512 with oneDNN 3). For a plain matrix, oneDNN 2 has only its loops for
// channels-first data, which are tens of times slower.
//
// Not supported: residual, which oneDNN cannot add, and ReLU. oneDNN's fused ReLU turns NaN into 0 in the forward pass, and its
// backward pass needs a workspace that another pass of the same problem would overwrite.
//
// oneDNN computes the biased variance and reads it back with eps; our contract has the unbiased variance and inv_std. Backward
// passes oneDNN the variance 1 / inv_std^2 with eps = 0, which is equivalent. A variance that overflows float32 gives y = beta
// in oneDNN; such channels are then set to NaN, as the contract requires.
#include <cmath>
#include <limits>

#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

using Flags = dnnl::normalization_flags;
using Propagation = dnnl::prop_kind;

Flags affine() { return Flags::use_scale | Flags::use_shift; }

dnnl::memory::desc data_layout(const BatchNorm::Problem& problem) {
  return layout({problem.rows, problem.c, 1, 1}, dnnl::memory::format_tag::nhwc);
}

/// Sets a channel of y (rows, C) to NaN.
void fill_with_nan(std::size_t channel, const BatchNorm::Problem& problem, Out y) {
  const Span<float> ys = y.as<float>("batch_norm: y");
  for (std::size_t e = channel; e < ys.size(); e += static_cast<std::size_t>(problem.c)) {
    ys.data()[e] = std::numeric_limits<float>::quiet_NaN();
  }
}

class BatchNormForwardTraining final : public BatchNorm::Kernel {
 public:
  BatchNormForwardTraining(Exec& exec, const BatchNorm::Problem& problem) : problem_(problem) {
    const auto data = data_layout(problem), channels = vector_layout(problem.c);
    const auto pass =
        batch_norm_forward(exec.cache<Library>().engine, Propagation::forward_training, {data, problem.eps, affine()});
    call_ = Call(exec, what<BatchNorm>(problem, BatchNorm::Pass::forward_training), pass,
                 {{DNNL_ARG_SRC, data}, {DNNL_ARG_SCALE, channels}, {DNNL_ARG_SHIFT, channels}},
                 {{DNNL_ARG_DST, data}, {DNNL_ARG_MEAN, channels}, {DNNL_ARG_VARIANCE, channels}});
  }

  void forward_training(Exec& exec, In x, In /*residual*/, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                        const BatchNorm::BatchStatistics& statistics) override {
    call_.run(exec, {x, gamma, beta}, {{y}, {statistics.mean}, {statistics.variance}});
    const float unbiased = problem_.rows > 1 ? static_cast<float>(problem_.rows) / static_cast<float>(problem_.rows - 1) : 1.0F;
    for (std::size_t c = 0; c < statistics.variance.size(); ++c) {
      float& variance = statistics.variance.data()[c];
      const bool finite = std::isfinite(variance);
      statistics.inv_std.data()[c] =
          finite ? 1.0F / std::sqrt(variance + problem_.eps) : std::numeric_limits<float>::quiet_NaN();
      if (!finite) fill_with_nan(c, problem_, y);
      variance *= unbiased;
    }
  }

 private:
  BatchNorm::Problem problem_;
  Call call_;
};

class BatchNormForwardInference final : public BatchNorm::Kernel {
 public:
  BatchNormForwardInference(Exec& exec, const BatchNorm::Problem& problem) : problem_(problem) {
    const auto data = data_layout(problem), channels = vector_layout(problem.c);
    const auto pass = batch_norm_forward(exec.cache<Library>().engine, Propagation::forward_inference,
                                         {data, problem.eps, affine() | Flags::use_global_stats});
    call_ = Call(exec, what<BatchNorm>(problem, BatchNorm::Pass::forward_inference), pass,
                 {{DNNL_ARG_SRC, data},
                  {DNNL_ARG_SCALE, channels},
                  {DNNL_ARG_SHIFT, channels},
                  {DNNL_ARG_MEAN, channels},
                  {DNNL_ARG_VARIANCE, channels}},
                 {{DNNL_ARG_DST, data}});
  }

  void forward_inference(Exec& exec, In x, In /*residual*/, ConstSpan<float> gamma, ConstSpan<float> beta,
                         ConstSpan<float> running_mean, ConstSpan<float> running_variance, Out y) override {
    call_.run(exec, {x, gamma, beta, running_mean, running_variance}, {{y}});
    for (std::size_t c = 0; c < running_variance.size(); ++c) {
      if (!std::isfinite(running_variance.data()[c])) fill_with_nan(c, problem_, y);
    }
  }

 private:
  BatchNorm::Problem problem_;
  Call call_;
};

class BatchNormBackward final : public BatchNorm::Kernel {
 public:
  BatchNormBackward(Exec& exec, const BatchNorm::Problem& problem)
      : variance_(Device{}, static_cast<std::size_t>(problem.c) * sizeof(float)) {
    const auto& engine = exec.cache<Library>().engine;
    const auto data = data_layout(problem), channels = vector_layout(problem.c);
    const auto hint = batch_norm_forward(engine, Propagation::forward_training, {data, problem.eps, affine()});
    std::vector<Operand> inputs{{DNNL_ARG_DIFF_DST, data},
                                {DNNL_ARG_SRC, data},
                                {DNNL_ARG_MEAN, channels},
                                {DNNL_ARG_VARIANCE, channels},
                                {DNNL_ARG_SCALE, channels}};
    if (batch_norm_backward_takes_shift()) inputs.push_back({DNNL_ARG_SHIFT, channels});
    call_ =
        Call(exec, what<BatchNorm>(problem, BatchNorm::Pass::backward),
             batch_norm_backward(engine, {data, 0.0F, affine()}, hint), inputs,
             {{DNNL_ARG_DIFF_SRC, data}, {DNNL_ARG_DIFF_SCALE, channels}, {DNNL_ARG_DIFF_SHIFT, channels}}, Accumulates::yes);
  }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, ConstSpan<float> gamma,
                const BatchNorm::Gradients& out) override {
    const auto variance = variance_.as<float>();  // (C)
    for (std::size_t c = 0; c < variance.size(); ++c) {
      const float inv_std = saved.inv_std.data()[c];
      variance.data()[c] = 1.0F / (inv_std * inv_std);
    }
    const ConstSpan<float> shift = gamma;  // an argument of oneDNN 2 only, which does not read it
    call_.run(exec, {dy, saved.x, saved.mean, variance, gamma, shift},
              {{out.dx, out.write_x}, {out.dgamma, out.write_parameters}, {out.dbeta, out.write_parameters}});
  }

 private:
  Buffer variance_;  // (C), filled and read within one backward pass
  Call call_;
};

}  // namespace

bool supports(const BatchNorm::Problem& problem, BatchNorm::Pass) {
  return problem.type == DType::float32 && !problem.residual && !problem.relu;
}

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem, BatchNorm::Pass pass) {
  require<KernelError>(supports(problem, pass), "{}: onednn supports neither residual nor relu",
                       what<BatchNorm>(problem, pass));
  return make_kernel<BatchNorm, BatchNormForwardTraining, BatchNormForwardInference, BatchNormBackward>(exec, problem, pass);
}

}  // namespace apam::kernels::onednn
