// Average pooling with oneDNN, on (N, H, W, C).
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

PoolingShape shape_of(const AvgPool::Problem& p) {
  return {layout({p.n, p.c, p.h, p.w}, Tag::nhwc),
          layout({p.n, p.c, p.out_h(), p.out_w()}, Tag::nhwc),
          {p.window, p.window},
          {p.window, p.window}};
}

class AvgPoolForward final : public AvgPool::Kernel {
 public:
  AvgPoolForward(Exec& exec, const AvgPool::Problem& p) {
    const PoolingShape shape = shape_of(p);
    call_ = Call(exec, what<AvgPool>(p, AvgPool::Pass::forward), pooling_forward(exec.cache<Library>().engine, shape),
                 {{DNNL_ARG_SRC, shape.x}}, {{DNNL_ARG_DST, shape.y}});
  }
  void forward(Exec& exec, In x, Out y) override { call_.run(exec, {x}, {{y}}); }

 private:
  Call call_;
};

class AvgPoolBackward final : public AvgPool::Kernel {
 public:
  AvgPoolBackward(Exec& exec, const AvgPool::Problem& p) {
    const PoolingShape shape = shape_of(p);
    const auto& engine = exec.cache<Library>().engine;
    call_ =
        Call(exec, what<AvgPool>(p, AvgPool::Pass::backward), pooling_backward(engine, shape, pooling_forward(engine, shape)),
             {{DNNL_ARG_DIFF_DST, shape.y}}, {{DNNL_ARG_DIFF_SRC, shape.x}}, Accumulates::yes);
  }
  void backward(Exec& exec, In dy, Out dx, Write write) override { call_.run(exec, {dy}, {{dx, write}}); }

 private:
  Call call_;
};

}  // namespace

std::unique_ptr<AvgPool::Kernel> make(Exec& exec, const AvgPool::Problem& problem, AvgPool::Pass pass) {
  return make_kernel<AvgPool, AvgPoolForward, AvgPoolBackward>(exec, problem, pass);
}

}  // namespace apam::kernels::onednn
