// Convolution, each pass as one product of matrices that is gathered from an image: products.h.
#include "kernels/cuda/conv2d.h"

#include "kernels/cuda/make.h"

namespace apam::kernels::cuda {
namespace {

template <class T>
class ForwardKernel final : public Conv2d::Kernel {
 public:
  ForwardKernel(Exec& exec, const Conv2d::Problem& problem, TileSize tile, Loads loads)
      : plan_(exec, problem, false, workspace_, tile, loads) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void forward(Exec& exec, In x, const Weights& w, Out y) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()), {elements<T>(x, "conv2d: x"), w, nullptr, elements<T>(y, "conv2d: y")},
              Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  GatherPlan<T> plan_;
};

template <class T>
class BackwardInputKernel final : public Conv2d::Kernel {
 public:
  BackwardInputKernel(Exec& exec, const Conv2d::Problem& problem, TileSize tile, Loads loads)
      : plan_(exec, problem, true, workspace_, tile, loads) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()),
              {elements<T>(dy, "conv2d: dy"), w, nullptr, elements<T>(dx, "conv2d: dx"), write}, Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  GatherPlan<T> plan_;
};

template <class T>
class BackwardWeightKernel final : public Conv2d::Kernel {
 public:
  BackwardWeightKernel(Exec& exec, const Conv2d::Problem& problem, TileSize tile, Loads)
      : plan_(exec, problem, workspace_, tile) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()),
              {elements<T>(x, "conv2d: x"), elements<T>(dy, "conv2d: dy"), dw.data(), nullptr, write}, Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  WeightPlan<T> plan_;
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make_with_tile(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, TileSize tile,
                                               Target, Loads loads) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<Conv2d, ForwardKernel<T>, BackwardInputKernel<T>, BackwardWeightKernel<T>>(pass, exec, problem, tile,
                                                                                                   loads);
  });
}

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, Target target) {
  return make_with_tile(exec, problem, pass, TileSize::best, target);
}

bool tma_supports(const Conv2d::Problem& problem, Conv2d::Pass pass) {
  return problem.type == DType::bfloat16 && pass != Conv2d::Pass::backward_weight &&
         fits_tma(problem, pass == Conv2d::Pass::backward_input);
}

std::unique_ptr<Conv2d::Kernel> make_by_tma(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, Target target) {
  return make_with_tile(exec, problem, pass, TileSize::best, target, Loads::by_tma);
}

}  // namespace apam::kernels::cuda
