// Convolution with oneDNN, parallel inside each primitive. Activations stay (N, H, W, C). Weights are (K, R, S, C) at the
// caller and in a blocked layout chosen by the primitive inside: for (K, R, S, C), oneDNN 2.6 and 3.7 have only their reference
// loops. Every call packs the weights, since they change in every step, and forward and backward_input mostly need different
// layouts. Packing is a small part of a convolution (0.01 % of 64 -> 64 on 32x32 images, 2 % of 512 -> 512 on 4x4, batch 80,
// one thread).
//
// oneDNN's first choice of implementation is kept. In a comparison of all (3.7, AVX2 and AVX-512, shapes of the nets), others
// were faster in a few cases, by at most a third, and not in the same cases on both instruction sets.
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

using Pass = Conv2d::Pass;
using Tag = dnnl::memory::format_tag;

ConvolutionShape shape_of(const Conv2d::Problem& p) {
  return {layout({p.n, p.c, p.h, p.w}, Tag::nhwc),
          layout({p.k, p.c, p.r, p.s}, Tag::any),
          layout({p.n, p.k, p.out_h(), p.out_w()}, Tag::nhwc),
          {p.stride, p.stride},
          {p.padding, p.padding}};
}

/// Layout of the weights at the caller.
dnnl::memory::desc weights(const Conv2d::Problem& p) { return layout({p.k, p.c, p.r, p.s}, Tag::ohwi); }

class Forward final : public Conv2d::Kernel {
 public:
  Forward(Exec& exec, const Conv2d::Problem& p) {
    const ConvolutionShape shape = shape_of(p);
    const auto pass = convolution_forward(exec.cache<Library>().engine, shape);
    call_ = Call(exec, what<Conv2d>(p, Pass::forward), pass,
                 {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_WEIGHTS, weights(p), pass.weights_desc()}}, {{DNNL_ARG_DST, shape.y}});
  }
  void forward(Exec& exec, In x, ConstSpan<float> w, Out y) override { call_.run(exec, {x, w}, {{y}}); }

 private:
  Call call_;
};

class BackwardInput final : public Conv2d::Kernel {
 public:
  BackwardInput(Exec& exec, const Conv2d::Problem& p) {
    const ConvolutionShape shape = shape_of(p);
    const auto& engine = exec.cache<Library>().engine;
    const auto pass = convolution_backward_data(engine, shape, convolution_forward(engine, shape));
    call_ = Call(exec, what<Conv2d>(p, Pass::backward_input), pass,
                 {{DNNL_ARG_DIFF_DST, shape.y}, {DNNL_ARG_WEIGHTS, weights(p), pass.weights_desc()}},
                 {{DNNL_ARG_DIFF_SRC, shape.x}}, Accumulates::yes);
  }
  void backward_input(Exec& exec, In dy, ConstSpan<float> w, Out dx, Write write) override {
    call_.run(exec, {dy, w}, {{dx, write}});
  }

 private:
  Call call_;
};

class BackwardWeight final : public Conv2d::Kernel {
 public:
  BackwardWeight(Exec& exec, const Conv2d::Problem& p) {
    const ConvolutionShape shape = shape_of(p);
    const auto& engine = exec.cache<Library>().engine;
    const auto pass = convolution_backward_weights(engine, shape, convolution_forward(engine, shape));
    call_ = Call(exec, what<Conv2d>(p, Pass::backward_weight), pass, {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_DIFF_DST, shape.y}},
                 {{DNNL_ARG_DIFF_WEIGHTS, weights(p), pass.diff_weights_desc()}}, Accumulates::yes);
  }
  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    call_.run(exec, {x, dy}, {{dw, write}});
  }

 private:
  Call call_;
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, Pass pass) {
  return make_kernel<Conv2d, Forward, BackwardInput, BackwardWeight>(exec, problem, pass);
}

}  // namespace apam::kernels::onednn
