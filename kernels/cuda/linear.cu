// Linear layer as a convolution of images of one pixel (products.h), whose first kernel adds the bias:
//   y[i,k] = b[k] + sum_c x[i,c] * w[k,c];   dx = dy w;   dw[k,c] = sum_i dy[i,k] x[i,c]
// db[k] = sum_i dy[i,k]: 32 columns per block, in each of them 8 threads, whose sums are added in order.
#include "kernels/cuda/elements.h"
#include "kernels/cuda/make.h"
#include "kernels/cuda/products.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {
namespace {

template <class T>
struct ColumnSums {
  struct Args {
    const T* dy;  // (N, K)
    float* db;    // (K)
    int n, k;
    bool add;
  };
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = threads * sizeof(float);

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto sums = shared.array<float>(0, threads);
    const int column = block().x * 32 + lane();
    float sum = 0;
    if (column < args.k) {
#pragma unroll 4
      for (int row = warp(); row < args.n; row += threads / 32) sum += to_float(args.dy[std::int64_t{row} * args.k + column]);
    }
    sums[thread()] = sum;
    sync_block();
    if (warp() != 0 || column >= args.k) return;
    float total = 0;
#pragma unroll
    for (int group = 0; group < threads / 32; ++group) total += sums[group * 32 + lane()];
    write(args.db[column], total, args.add);
  }
};

Conv2d::Problem as_convolution(const Linear::Problem& p) {
  return {.n = p.n, .h = 1, .w = 1, .c = p.c, .k = p.k, .r = 1, .s = 1, .type = p.type};
}

template <class T>
class ForwardKernel final : public Linear::Kernel {
 public:
  ForwardKernel(Exec& exec, const Linear::Problem& problem) : plan_(as_convolution(problem), false, workspace_) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void forward(Exec& exec, In x, ConstSpan<float> w, ConstSpan<float> b, Out y) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()),
              {elements<T>(x, "linear: x"), w.data(), b.data(), elements<T>(y, "linear: y")}, Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  GatherPlan<T> plan_;
};

template <class T>
class BackwardInputKernel final : public Linear::Kernel {
 public:
  BackwardInputKernel(Exec& exec, const Linear::Problem& problem) : plan_(as_convolution(problem), true, workspace_) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void backward_input(Exec& exec, In dy, ConstSpan<float> w, Out dx, Write write) override {
    plan_.run(exec, exec.workspace(workspace_.bytes()),
              {elements<T>(dy, "linear: dy"), w.data(), nullptr, elements<T>(dx, "linear: dx"), write}, Target());
  }

 private:
  WorkspacePlan workspace_{kWorkspaceAlignment};
  GatherPlan<T> plan_;
};

template <class T>
class BackwardWeightKernel final : public Linear::Kernel {
 public:
  BackwardWeightKernel(Exec& exec, const Linear::Problem& problem)
      : problem_(problem), plan_(as_convolution(problem), workspace_) {
    exec.reserve_workspace(workspace_.bytes());
  }
  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    const T *xs = elements<T>(x, "linear: x"), *dys = elements<T>(dy, "linear: dy");
    plan_.run(exec, exec.workspace(workspace_.bytes()), {xs, dys, dw.data(), write}, Target());
    launch<ColumnSums<T>>(exec, {blocks_for(problem_.k, 32)}, {dys, db.data(), problem_.n, problem_.k, write == Write::add});
  }

 private:
  Linear::Problem problem_;
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
