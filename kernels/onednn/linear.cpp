// Fully connected layer by oneDNN, with w as it stands, (K, C), where oneDNN multiplies plain matrices. A layout of its own
// choice is no faster at the sizes of a classifier (512 -> 10, 320 -> 1000) and would have to be packed in every call.
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

class OnednnLinear final : public Linear::Kernel {
 public:
  OnednnLinear(Exec& exec, const Linear::Problem& p) {
    using Tag = dnnl::memory::format_tag;
    const auto& engine = exec.cache<Library>().engine;
    const InnerProductShape shape{layout({p.n, p.c}, Tag::ab), layout({p.k, p.c}, Tag::ab), vector_layout(p.k),
                                  layout({p.n, p.k}, Tag::ab)};
    const auto what = [&](auto pass) { return fmt::format("linear: {} of {}", pass, p.describe()); };
    const auto forward = inner_product_forward(engine, shape);
    forward_ =
        Call(exec, what("forward"), forward, {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_WEIGHTS, shape.w}, {DNNL_ARG_BIAS, shape.b}},
             {{DNNL_ARG_DST, shape.y}});
    backward_input_ =
        Call(exec, what("backward_input"), inner_product_backward_data(engine, shape, forward),
             {{DNNL_ARG_DIFF_DST, shape.y}, {DNNL_ARG_WEIGHTS, shape.w}}, {{DNNL_ARG_DIFF_SRC, shape.x}}, Accumulates::yes);
    backward_weight_ = Call(exec, what("backward_weight"), inner_product_backward_weights(engine, shape, forward),
                            {{DNNL_ARG_SRC, shape.x}, {DNNL_ARG_DIFF_DST, shape.y}},
                            {{DNNL_ARG_DIFF_WEIGHTS, shape.w}, {DNNL_ARG_DIFF_BIAS, shape.b}}, Accumulates::yes);
  }

  void forward(Exec& exec, In x, In w, In b, Out y) override { forward_.run(exec, {x, w, b}, {{y}}); }
  void backward_input(Exec& exec, In dy, In w, Out dx, Write write) override {
    backward_input_.run(exec, {dy, w}, {{dx, write}});
  }
  void backward_weight(Exec& exec, In x, In dy, Out dw, Out db, Write write) override {
    backward_weight_.run(exec, {x, dy}, {{dw, write}, {db, write}});
  }

 private:
  Call forward_, backward_input_, backward_weight_;
};

}  // namespace

std::unique_ptr<Linear::Kernel> make(Exec& exec, const Linear::Problem& problem) {
  return make_kernel<Linear, OnednnLinear>(exec, problem);
}

}  // namespace apam::kernels::onednn
