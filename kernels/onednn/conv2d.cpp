// Convolution by oneDNN, parallel inside each primitive. Activations stay (N, H, W, C). Weights are (K, R, S, C) at the
// caller, and inside in whatever blocked layout the primitive picks: held to (K, R, S, C), oneDNN 2.6 and 3.7 have nothing
// to offer but their reference loops. Packing takes a small part of a convolution (0.01 % of 64 -> 64 on 32x32 images, 2 %
// of 512 -> 512 on 4x4, batch 80, one thread), and every call packs, since weights change in every step and forward and
// backward_input mostly want different layouts.
//
// oneDNN's first choice of implementation is kept. Tried one by one (3.7, AVX2 and AVX-512, shapes of the nets), others win
// in a few places, by a third of the time at most, and not in the same places on both instruction sets.
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

class OnednnConv2d final : public Conv2d::Kernel {
 public:
  OnednnConv2d(Exec& exec, const Conv2d::Problem& p) {
    using Tag = dnnl::memory::format_tag;
    const auto& engine = exec.cache<Library>().engine;
    const auto w = layout({p.k, p.c, p.r, p.s}, Tag::ohwi);
    const ConvolutionShape shape{layout({p.n, p.c, p.h, p.w}, Tag::nhwc),
                                 layout({p.k, p.c, p.r, p.s}, Tag::any),
                                 layout({p.n, p.k, p.out_h(), p.out_w()}, Tag::nhwc),
                                 {p.stride, p.stride},
                                 {p.padding, p.padding}};
    const auto what = [&](auto pass) { return fmt::format("conv2d: {} of {}", pass, p.describe()); };
    const auto forward = convolution_forward(engine, shape);
    forward_ = Call(exec, what("forward"), forward, {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_WEIGHTS, w, forward.weights_desc()}},
                    {{DNNL_ARG_DST, shape.y}});
    const auto input = convolution_backward_data(engine, shape, forward);
    backward_input_ =
        Call(exec, what("backward_input"), input, {{DNNL_ARG_DIFF_DST, shape.y}, {DNNL_ARG_WEIGHTS, w, input.weights_desc()}},
             {{DNNL_ARG_DIFF_SRC, shape.x}}, Accumulates::yes);
    const auto weight = convolution_backward_weights(engine, shape, forward);
    backward_weight_ = Call(exec, what("backward_weight"), weight, {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_DIFF_DST, shape.y}},
                            {{DNNL_ARG_DIFF_WEIGHTS, w, weight.diff_weights_desc()}}, Accumulates::yes);
  }

  void forward(Exec& exec, In x, In w, Out y) override { forward_.run(exec, {x, w}, {{y}}); }
  void backward_input(Exec& exec, In dy, In w, Out dx, Write write) override {
    backward_input_.run(exec, {dy, w}, {{dx, write}});
  }
  void backward_weight(Exec& exec, In x, In dy, Out dw, Write write) override {
    backward_weight_.run(exec, {x, dy}, {{dw, write}});
  }

 private:
  Call forward_, backward_input_, backward_weight_;
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem) {
  return make_kernel<Conv2d, OnednnConv2d>(exec, problem);
}

}  // namespace apam::kernels::onednn
