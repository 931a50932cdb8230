// Fully connected layer with oneDNN. w stays (K, C), for which oneDNN uses a plain matrix product. A layout chosen by oneDNN is
// no faster for the sizes of a classifier (512 -> 10, 320 -> 1000), and w would have to be packed in every call.
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

InnerProductShape shape_of(const Linear::Problem& p) {
  return {layout({p.n, p.c}, Tag::ab), layout({p.k, p.c}, Tag::ab), vector_layout(p.k), layout({p.n, p.k}, Tag::ab)};
}

class LinearForward final : public Linear::Kernel {
 public:
  LinearForward(Exec& exec, const Linear::Problem& p) {
    const InnerProductShape shape = shape_of(p);
    call_ = Call(exec, what<Linear>(p, Linear::Pass::forward), inner_product_forward(exec.cache<Library>().engine, shape),
                 {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_WEIGHTS, shape.w}, {DNNL_ARG_BIAS, shape.b}}, {{DNNL_ARG_DST, shape.y}});
  }
  void forward(Exec& exec, In x, const Weights& w, ConstSpan<float> b, Out y) override {
    call_.run(exec, {x, w.values, b}, {{y}});
  }

 private:
  Call call_;
};

class LinearBackwardInput final : public Linear::Kernel {
 public:
  LinearBackwardInput(Exec& exec, const Linear::Problem& p) {
    const InnerProductShape shape = shape_of(p);
    const auto& engine = exec.cache<Library>().engine;
    call_ = Call(exec, what<Linear>(p, Linear::Pass::backward_input),
                 inner_product_backward_data(engine, shape, inner_product_forward(engine, shape)),
                 {{DNNL_ARG_DIFF_DST, shape.y}, {DNNL_ARG_WEIGHTS, shape.w}}, {{DNNL_ARG_DIFF_SRC, shape.x}}, Accumulates::yes);
  }
  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    call_.run(exec, {dy, w.values}, {{dx, write}});
  }

 private:
  Call call_;
};

class LinearBackwardWeight final : public Linear::Kernel {
 public:
  LinearBackwardWeight(Exec& exec, const Linear::Problem& p) {
    const InnerProductShape shape = shape_of(p);
    const auto& engine = exec.cache<Library>().engine;
    call_ = Call(exec, what<Linear>(p, Linear::Pass::backward_weight),
                 inner_product_backward_weights(engine, shape, inner_product_forward(engine, shape)),
                 {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_DIFF_DST, shape.y}},
                 {{DNNL_ARG_DIFF_WEIGHTS, shape.w}, {DNNL_ARG_DIFF_BIAS, shape.b}}, Accumulates::yes);
  }
  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    call_.run(exec, {x, dy}, {{dw, write}, {db, write}});
  }

 private:
  Call call_;
};

}  // namespace

std::unique_ptr<Linear::Kernel> make(Exec& exec, const Linear::Problem& problem, Linear::Pass pass) {
  return make_kernel<Linear, LinearForward, LinearBackwardInput, LinearBackwardWeight>(exec, problem, pass);
}

}  // namespace apam::kernels::onednn
