// Linear layer as a convolution of images of one pixel (products.h), which adds the bias:
//   y[i,k] = b[k] + sum_c x[i,c] * w[k,c];   dx = dy w;   dw[k,c] = sum_i dy[i,k] x[i,c]
// db[k] = sum_i dy[i,k] is one more column of dw.
#include "kernels/cuda/make.h"
#include "kernels/cuda/products.h"

namespace apam::kernels::cuda {
namespace {

Conv2d::Problem as_convolution(const Linear::Problem& p) {
  return {.n = p.n, .h = 1, .w = 1, .c = p.c, .k = p.k, .r = 1, .s = 1, .type = p.type};
}

template <class T>
class ForwardKernel final : public Linear::Kernel {
 public:
  ForwardKernel(Exec& exec, const Linear::Problem& problem) : plan_(exec, as_convolution(problem), false, workspace_) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void forward(Exec& exec, In x, const Weights& w, ConstSpan<float> b, Out y) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()), {elements<T>(x, "linear: x"), w, b.data(), elements<T>(y, "linear: y")},
              Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  GatherPlan<T> plan_;
};

template <class T>
class BackwardInputKernel final : public Linear::Kernel {
 public:
  BackwardInputKernel(Exec& exec, const Linear::Problem& problem) : plan_(exec, as_convolution(problem), true, workspace_) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()),
              {elements<T>(dy, "linear: dy"), w, nullptr, elements<T>(dx, "linear: dx"), write}, Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  GatherPlan<T> plan_;
};

template <class T>
class BackwardWeightKernel final : public Linear::Kernel {
 public:
  BackwardWeightKernel(Exec& exec, const Linear::Problem& problem)
      : plan_(exec, as_convolution(problem), workspace_, TileSize::best, Bias::yes) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()),
              {elements<T>(x, "linear: x"), elements<T>(dy, "linear: dy"), dw.data(), db.data(), write}, Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  WeightPlan<T> plan_;
};

}  // namespace

std::unique_ptr<Linear::Kernel> make(Exec& exec, const Linear::Problem& problem, Linear::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<Linear, ForwardKernel<T>, BackwardInputKernel<T>, BackwardWeightKernel<T>>(pass, exec, problem);
  });
}

}  // namespace apam::kernels::cuda
