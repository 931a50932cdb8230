// Convolution with oneDNN, parallel inside each primitive. Activations stay (N, H, W, C). Weights are (K, R, S, C) at the
// caller and in a blocked layout chosen by the primitive inside: for (K, R, S, C), oneDNN 2.6 and 3.7 have only their reference
// loops. Every call packs the weights, since they change in every step, and forward and backward_input mostly need different
// layouts. Packing is a small part of a convolution (0.01 % of 64 -> 64 on 32x32 images, 2 % of 512 -> 512 on 4x4, batch 80,
// one thread).
//
// In bfloat16 the weights are rounded when they are packed, and their gradients stay float32. Only with AVX512-BF16 or AMX.
//
// oneDNN's first choice of implementation is kept. In a comparison of all (3.7, AVX2 and AVX-512, shapes of the nets), others
// were faster in a few cases, by at most a third, and not in the same cases on both instruction sets.
#include <optional>

#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

/// `weights`: their type in the primitive.
ConvolutionShape shape_of(const Conv2d::Problem& p, DType weights) {
  return {layout({p.n, p.c, p.h, p.w}, Tag::nhwc, p.type),
          layout({p.k, p.c, p.r, p.s}, Tag::any, weights),
          layout({p.n, p.k, p.out_h(), p.out_w()}, Tag::nhwc, p.type),
          {p.stride, p.stride},
          {p.padding, p.padding}};
}

/// Layout of the weights at the caller.
dnnl::memory::desc weights(const Conv2d::Problem& p) { return layout({p.k, p.c, p.r, p.s}, Tag::ohwi); }

class Conv2dForward final : public Conv2d::Kernel {
 public:
  Conv2dForward(Exec& exec, const Conv2d::Problem& p) {
    const ConvolutionShape shape = shape_of(p, p.type);
    const auto pass = convolution_forward(exec.cache<Library>().engine, shape);
    call_ = Call(exec, what<Conv2d>(p, Conv2d::Pass::forward), pass,
                 {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_WEIGHTS, weights(p), pass.weights_desc()}}, {{DNNL_ARG_DST, shape.y}});
  }
  void forward(Exec& exec, In x, const Weights& w, Out y) override { call_.run(exec, {x, w.values}, {{y}}); }

 private:
  Call call_;
};

class Conv2dBackwardInput final : public Conv2d::Kernel {
 public:
  Conv2dBackwardInput(Exec& exec, const Conv2d::Problem& p) : overwrite_(call(exec, p, p.type)) {
    // A bfloat16 sum must not be rounded before it is added.
    if (p.type != DType::float32) add_ = call(exec, p, DType::float32);
  }
  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    Call& call = write == Write::add && add_ ? *add_ : overwrite_;
    call.run(exec, {dy, w.values}, {{dx, write}});
  }

 private:
  /// `type`: of dx in the primitive.
  static Call call(Exec& exec, const Conv2d::Problem& p, DType type) {
    ConvolutionShape shape = shape_of(p, p.type);
    const dnnl::memory::desc dx = shape.x;
    const auto& engine = exec.cache<Library>().engine;
    const auto forward = convolution_forward(engine, shape);
    shape.x = layout({p.n, p.c, p.h, p.w}, Tag::nhwc, type);
    const auto pass = convolution_backward_data(engine, shape, forward);
    return {exec,
            what<Conv2d>(p, Conv2d::Pass::backward_input),
            pass,
            {{DNNL_ARG_DIFF_DST, shape.y}, {DNNL_ARG_WEIGHTS, weights(p), pass.weights_desc()}},
            {{DNNL_ARG_DIFF_SRC, dx, shape.x}},
            Accumulates::yes};
  }

  Call overwrite_;
  std::optional<Call> add_;
};

class Conv2dBackwardWeight final : public Conv2d::Kernel {
 public:
  Conv2dBackwardWeight(Exec& exec, const Conv2d::Problem& p) {
    const ConvolutionShape shape = shape_of(p, DType::float32);
    const auto& engine = exec.cache<Library>().engine;
    const auto pass = convolution_backward_weights(engine, shape, convolution_forward(engine, shape_of(p, p.type)));
    call_ = Call(exec, what<Conv2d>(p, Conv2d::Pass::backward_weight), pass,
                 {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_DIFF_DST, shape.y}},
                 {{DNNL_ARG_DIFF_WEIGHTS, weights(p), pass.diff_weights_desc()}}, Accumulates::yes);
  }
  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    call_.run(exec, {x, dy}, {{dw, write}});
  }

 private:
  Call call_;
};

}  // namespace

namespace {

/// Whether every column of the filter is inside the image at some output pixel.
bool all_columns_meet_the_image(const Conv2d::Problem& problem) {
  for (int s = 0; s < problem.s; ++s) {
    bool inside = false;
    for (int q = 0; q < problem.out_w() && !inside; ++q) {
      const int column = q * problem.stride + s - problem.padding;
      inside = column >= 0 && column < problem.w;
    }
    if (!inside) return false;
  }
  return true;
}

/// False where kernels of oneDNN 2.6 for AVX512-BF16 are wrong, as tests/kernels/random_convolutions_test.cpp has found:
/// forward reads beyond x, backward_input writes wrong values, and backward_weight leaves some of dw unwritten, such as columns
/// that are always outside the image. The nets have no such problems.
bool right_in_bfloat16(const Conv2d::Problem& problem, Conv2d::Pass pass) {
  constexpr int kFew = 16;  // channels that are computed in another way
  const auto whole_pairs = [](int channels) { return channels % 2 == 0 || channels < kFew; };
  if (pass == Conv2d::Pass::forward) return whole_pairs(problem.c);
  if (pass == Conv2d::Pass::backward_input) return whole_pairs(problem.k);
  return problem.stride == 1 || (problem.out_w() > 1 && all_columns_meet_the_image(problem));
}

}  // namespace

bool supports(const Conv2d::Problem& problem, Conv2d::Pass pass) {
  if (problem.type == DType::float32) return true;
  using Isa = dnnl::cpu_isa;
  constexpr auto kNeeded = static_cast<unsigned>(Isa::avx512_core_bf16);
  const bool computes = (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;
  return computes && right_in_bfloat16(problem, pass);
}

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass) {
  return make_kernel<Conv2d, Conv2dForward, Conv2dBackwardInput, Conv2dBackwardWeight>(exec, problem, pass);
}

}  // namespace apam::kernels::onednn
