// relu, add and scale by oneDNN: element by element over one long vector. Of relu only the gradient: oneDNN's forward pass
// makes 0 of NaN.
#include "kernels/onednn/call.h"
#include "kernels/onednn/make.h"

namespace apam::kernels::onednn {
namespace {

class OnednnRelu final : public Relu::Kernel {
 public:
  OnednnRelu(Exec& exec, const Relu::Problem& problem) {
    constexpr auto kRelu = dnnl::algorithm::eltwise_relu_use_dst_for_bwd;  // the gradient from y, as our contract has it
    const auto& engine = exec.cache<Library>().engine;
    const auto data = vector_layout(problem.size);
    const auto forward = eltwise_forward(engine, kRelu, data, 0);  // a hint that backward asks for
    backward_ =
        Call(exec, fmt::format("relu: backward of {}", problem.describe()), eltwise_backward(engine, kRelu, data, forward),
             {{DNNL_ARG_DIFF_DST, data}, {DNNL_ARG_DST, data}}, {{DNNL_ARG_DIFF_SRC, data}}, Accumulates::yes);
  }

  void forward(Exec&, In, Out) override { fail<KernelError>("relu: onednn has no forward pass, see supports()"); }
  void backward(Exec& exec, In dy, In y, Out dx, Write write) override { backward_.run(exec, {dy, y}, {{dx, write}}); }

 private:
  Call backward_;
};

class OnednnAdd final : public Add::Kernel {
 public:
  OnednnAdd(Exec& exec, const Add::Problem& problem) {
    const auto data = vector_layout(problem.size);
    forward_ = Call(exec, fmt::format("add: forward of {}", problem.describe()), addition(exec.cache<Library>().engine, data),
                    {{DNNL_ARG_SRC_0, data}, {DNNL_ARG_SRC_1, data}}, {{DNNL_ARG_DST, data}});
  }

  void forward(Exec& exec, In a, In b, Out y) override {
    if (y.data() == b.data()) std::swap(a, b);  // oneDNN lets y be the first operand only
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
    forward_ = Call(exec, fmt::format("scale: forward of {}", problem.describe()), product, {{DNNL_ARG_SRC, data}},
                    {{DNNL_ARG_DST, data}});
  }

  void forward(Exec& exec, In x, Out y) override { forward_.run(exec, {x}, {{y}}); }

 private:
  Call forward_;
};

}  // namespace

bool supports(const Relu::Problem&, Relu::Pass pass) { return pass == Relu::Pass::backward; }

std::unique_ptr<Relu::Kernel> make(Exec& exec, const Relu::Problem& problem) {
  return make_kernel<Relu, OnednnRelu>(exec, problem);
}
std::unique_ptr<Add::Kernel> make(Exec& exec, const Add::Problem& problem) {
  return make_kernel<Add, OnednnAdd>(exec, problem);
}
std::unique_ptr<Scale::Kernel> make(Exec& exec, const Scale::Problem& problem) {
  return make_kernel<Scale, OnednnScale>(exec, problem);
}

}  // namespace apam::kernels::onednn
