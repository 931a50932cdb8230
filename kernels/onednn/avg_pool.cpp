// Average pooling by oneDNN, on (N, H, W, C).
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

class OnednnAvgPool final : public AvgPool::Kernel {
 public:
  OnednnAvgPool(Exec& exec, const AvgPool::Problem& p) {
    using Tag = dnnl::memory::format_tag;
    const auto& engine = exec.cache<Library>().engine;
    const PoolingShape shape{layout({p.n, p.c, p.h, p.w}, Tag::nhwc),
                             layout({p.n, p.c, p.out_h(), p.out_w()}, Tag::nhwc),
                             {p.window, p.window},
                             {p.window, p.window}};
    const auto what = [&](auto pass) { return fmt::format("avg_pool: {} of {}", pass, p.describe()); };
    const auto forward = pooling_forward(engine, shape);
    forward_ = Call(exec, what("forward"), forward, {{DNNL_ARG_SRC, shape.x}}, {{DNNL_ARG_DST, shape.y}});
    backward_ = Call(exec, what("backward"), pooling_backward(engine, shape, forward), {{DNNL_ARG_DIFF_DST, shape.y}},
                     {{DNNL_ARG_DIFF_SRC, shape.x}}, Accumulates::yes);
  }

  void forward(Exec& exec, In x, Out y) override { forward_.run(exec, {x}, {{y}}); }
  void backward(Exec& exec, In dy, Out dx, Write write) override { backward_.run(exec, {dy}, {{dx, write}}); }

 private:
  Call forward_, backward_;
};

}  // namespace

std::unique_ptr<AvgPool::Kernel> make(Exec& exec, const AvgPool::Problem& problem) {
  return make_kernel<AvgPool, OnednnAvgPool>(exec, problem);
}

}  // namespace apam::kernels::onednn
