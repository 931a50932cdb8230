// Batch normalisation by oneDNN.
//
// Rows stand as the batch of 1x1 images (rows, 1, 1, C). As one image of `rows` pixels large problems take up to twice the
// time (smaller ones gain, on AVX-512 with oneDNN 3 alone); for a plain matrix oneDNN 2 has but its loops for channels-first
// data, tens of times slower.
//
// Forward, ReLU is oneDNN's own fusion. Its backward pass reads a bit mask from its own forward pass, in a form of the
// implementation's choosing, where our contract passes y: a mask kept here would break as soon as another pass of the same
// problem ran in between. So backward is offered without ReLU only, and a residual, which oneDNN cannot add, not at all.
//
// oneDNN gives the biased variance and reads it back with eps; our contract has the unbiased variance and inv_std instead.
// Backward passes oneDNN the variance 1 / inv_std^2 with eps = 0, which is the same function.
#include <cmath>

#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

using Flags = dnnl::normalization_flags;
using Propagation = dnnl::prop_kind;

class OnednnBatchNorm final : public BatchNorm::Kernel {
 public:
  OnednnBatchNorm(Exec& exec, const BatchNorm::Problem& problem)
      : problem_(problem), variance_(Device{}, static_cast<std::size_t>(problem.c) * sizeof(float)) {
    const auto& engine = exec.cache<Library>().engine;
    const auto data = layout({problem.rows, problem.c, 1, 1}, dnnl::memory::format_tag::nhwc);
    const auto channels = vector_layout(problem.c);
    const Flags affine = Flags::use_scale | Flags::use_shift;
    const Flags flags = problem.relu ? affine | Flags::fuse_norm_relu : affine;
    const auto what = [&](auto pass) { return fmt::format("batch_norm: {} of {}", pass, problem.describe()); };

    const auto training = batch_norm_forward(engine, Propagation::forward_training, {data, problem.eps, flags});
    forward_training_ = Call(exec, what("forward_training"), training,
                             {{DNNL_ARG_SRC, data}, {DNNL_ARG_SCALE, channels}, {DNNL_ARG_SHIFT, channels}},
                             {{DNNL_ARG_DST, data}, {DNNL_ARG_MEAN, channels}, {DNNL_ARG_VARIANCE, channels}});
    const auto inference =
        batch_norm_forward(engine, Propagation::forward_inference, {data, problem.eps, flags | Flags::use_global_stats});
    forward_inference_ = Call(exec, what("forward_inference"), inference,
                              {{DNNL_ARG_SRC, data},
                               {DNNL_ARG_SCALE, channels},
                               {DNNL_ARG_SHIFT, channels},
                               {DNNL_ARG_MEAN, channels},
                               {DNNL_ARG_VARIANCE, channels}},
                              {{DNNL_ARG_DST, data}});
    if (problem.relu) return;
    std::vector<Operand> inputs{{DNNL_ARG_DIFF_DST, data},
                                {DNNL_ARG_SRC, data},
                                {DNNL_ARG_MEAN, channels},
                                {DNNL_ARG_VARIANCE, channels},
                                {DNNL_ARG_SCALE, channels}};
    if (batch_norm_backward_wants_shift()) inputs.push_back({DNNL_ARG_SHIFT, channels});
    backward_ =
        Call(exec, what("backward"), batch_norm_backward(engine, {data, 0.0F, affine}, training), inputs,
             {{DNNL_ARG_DIFF_SRC, data}, {DNNL_ARG_DIFF_SCALE, channels}, {DNNL_ARG_DIFF_SHIFT, channels}}, Accumulates::yes);
  }

  void forward_training(Exec& exec, In x, In /*residual*/, In gamma, In beta, Out y,
                        const BatchNorm::BatchStatistics& statistics) override {
    forward_training_.run(exec, {x, gamma, beta}, {{y}, {statistics.mean}, {statistics.variance}});
    const float unbiased = problem_.rows > 1 ? static_cast<float>(problem_.rows) / static_cast<float>(problem_.rows - 1) : 1.0F;
    for (std::size_t c = 0; c < statistics.variance.size(); ++c) {
      float& variance = statistics.variance.data()[c];
      statistics.inv_std.data()[c] = 1.0F / std::sqrt(variance + problem_.eps);
      variance *= unbiased;
    }
  }

  void forward_inference(Exec& exec, In x, In /*residual*/, In gamma, In beta, In running_mean, In running_variance,
                         Out y) override {
    forward_inference_.run(exec, {x, gamma, beta, running_mean, running_variance}, {{y}});
  }

  void backward(Exec& exec, In dy, const BatchNorm::Saved& saved, In gamma, const BatchNorm::Gradients& out) override {
    const auto variance = variance_.as<float>();  // (C)
    for (std::size_t c = 0; c < variance.size(); ++c) {
      const float inv_std = saved.inv_std.data()[c];
      variance.data()[c] = 1.0F / (inv_std * inv_std);
    }
    const In shift = gamma;  // not read, where it is wanted at all
    backward_.run(exec, {dy, saved.x, saved.mean, variance, gamma, shift},
                  {{out.dx, out.write_x}, {out.dgamma, out.write_parameters}, {out.dbeta, out.write_parameters}});
  }

 private:
  BatchNorm::Problem problem_;
  Buffer variance_;  // (C), filled and read within one backward pass
  Call forward_training_, forward_inference_, backward_;
};

}  // namespace

bool supports(const BatchNorm::Problem& problem, BatchNorm::Pass pass) {
  return !problem.residual && !(problem.relu && pass == BatchNorm::Pass::backward);
}

std::unique_ptr<BatchNorm::Kernel> make(Exec& exec, const BatchNorm::Problem& problem) {
  return make_kernel<BatchNorm, OnednnBatchNorm>(exec, problem);
}

}  // namespace apam::kernels::onednn
