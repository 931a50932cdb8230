// relu, add and scale with oneDNN, element-wise over one long vector. Only relu's gradient: oneDNN's forward turns NaN into 0.
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

constexpr auto kRelu = dnnl::algorithm::eltwise_relu_use_dst_for_bwd;  // gradient from y, as in our contract

/// Not supported, see supports().
class NoReluForward final : public Relu::Kernel {
 public:
  NoReluForward(Exec&, const Relu::Problem& problem) {
    fail<KernelError>("{}: onednn does not support this pass", what<Relu>(problem, Relu::Pass::forward));
  }
};

class OnednnReluBackward final : public Relu::Kernel {
 public:
  OnednnReluBackward(Exec& exec, const Relu::Problem& problem) {
    const auto& engine = exec.cache<Library>().engine;
    const auto data = vector_layout(problem.size);
    call_ = Call(exec, what<Relu>(problem, Relu::Pass::backward),
                 eltwise_backward(engine, kRelu, data, eltwise_forward(engine, kRelu, data, 0)),
                 {{DNNL_ARG_DIFF_DST, data}, {DNNL_ARG_DST, data}}, {{DNNL_ARG_DIFF_SRC, data}}, Accumulates::yes);
  }
  void backward(Exec& exec, In dy, In y, Out dx, Write write) override { call_.run(exec, {dy, y}, {{dx, write}}); }

 private:
  Call call_;
};

class OnednnAdd final : public Add::Kernel {
 public:
  OnednnAdd(Exec& exec, const Add::Problem& problem) {
    const auto data = vector_layout(problem.size);
    forward_ = Call(exec, what<Add>(problem, Add::Pass::forward), addition(exec.cache<Library>().engine, data),
                    {{DNNL_ARG_SRC_0, data}, {DNNL_ARG_SRC_1, data}}, {{DNNL_ARG_DST, data}});
  }

  void forward(Exec& exec, In a, In b, Out y) override {
    if (y.bytes() == b.bytes()) std::swap(a, b);  // in oneDNN y may alias only the first operand
    forward_.run(exec, {a, b}, {{y}});
  }

 private:
  Call forward_;
};

class OnednnScale final : public Scale::Kernel {
 public:
  OnednnScale(Exec& exec, const Scale::Problem& problem) {
    const auto data = vector_layout(problem.size);
    const auto product = eltwise_forward(exec.cache<Library>().engine, dnnl::algorithm::eltwise_linear, data, problem.factor);
    forward_ = Call(exec, what<Scale>(problem, Scale::Pass::forward), product, {{DNNL_ARG_SRC, data}}, {{DNNL_ARG_DST, data}});
  }

  void forward(Exec& exec, In x, Out y) override { forward_.run(exec, {x}, {{y}}); }

 private:
  Call forward_;
};

}  // namespace

bool supports(const Relu::Problem& problem, Relu::Pass pass) {
  return problem.type == DType::float32 && pass == Relu::Pass::backward;
}

std::unique_ptr<Relu::Kernel> make(Exec& exec, const Relu::Problem& problem, Relu::Pass pass) {
  return make_kernel<Relu, NoReluForward, OnednnReluBackward>(exec, problem, pass);
}
std::unique_ptr<Add::Kernel> make(Exec& exec, const Add::Problem& problem, Add::Pass pass) {
  return make_kernel<Add, OnednnAdd>(exec, problem, pass);
}
std::unique_ptr<Scale::Kernel> make(Exec& exec, const Scale::Problem& problem, Scale::Pass pass) {
  return make_kernel<Scale, OnednnScale>(exec, problem, pass);
}

}  // namespace apam::kernels::onednn
