// Average pooling: threads share the rows (n, p) of output pixels; a vector kernel computes each window.
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

/// The windows of a problem.
class Windows {
 public:
  explicit Windows(const AvgPool::Problem& problem)
      : problem_(problem), window_{problem.window, std::int64_t{problem.w} * problem.c, problem.c} {}

  const Window& window() const { return window_; }
  /// Whether the windows cover the whole image.
  bool cover() const { return problem_.h % problem_.window == 0 && problem_.w % problem_.window == 0; }

  /// Calls body(offset of the window in x, offset of its mean in y) for every window, in parallel.
  template <class Body>
  void for_each(Exec& exec, const Body& body) const {
    const std::int64_t rows = std::int64_t{problem_.n} * problem_.out_h();
    const std::int64_t x_row = window_.row_stride * problem_.window;
    const std::int64_t grain = std::max<std::int64_t>(1, kPointwiseGrain / std::max<std::int64_t>(1, x_row));
    parallel_for(exec.threads(), rows, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t image = row / problem_.out_h(), p = row % problem_.out_h();
        const std::int64_t x_at = image * problem_.h * window_.row_stride + p * x_row;
        const std::int64_t y_at = row * problem_.out_w() * problem_.c;
        for (int q = 0; q < problem_.out_w(); ++q) {
          body(x_at + std::int64_t{q} * problem_.window * problem_.c, y_at + std::int64_t{q} * problem_.c);
        }
      }
    });
  }

 private:
  AvgPool::Problem problem_;
  Window window_;
};

template <class T>
class AvgPoolForwardKernel final : public AvgPool::Kernel {
 public:
  AvgPoolForwardKernel(const AvgPool::Problem& problem, const Isa& isa)
      : windows_(problem), kernels_(activation_kernels_of<T>(isa).pool) {}

  void forward(Exec& exec, In x, Out y) override {
    const T* xs = elements<T>(x, "avg_pool: x");
    T* ys = elements<T>(y, "avg_pool: y");
    windows_.for_each(exec,
                      [&](std::int64_t x_at, std::int64_t y_at) { kernels_.mean(windows_.window(), xs + x_at, ys + y_at); });
  }

 private:
  Windows windows_;
  const PoolKernels<T>& kernels_;
};

template <class T>
class AvgPoolBackwardKernel final : public AvgPool::Kernel {
 public:
  AvgPoolBackwardKernel(const AvgPool::Problem& problem, const Isa& isa)
      : windows_(problem), kernels_(activation_kernels_of<T>(isa).pool) {}

  void backward(Exec& exec, In dy, Out dx, Write write) override {
    // Pixels outside all windows have gradient zero.
    if (!windows_.cover() && write == Write::overwrite) zero(exec, dx);
    const T* dys = elements<T>(dy, "avg_pool: dy");
    T* dxs = elements<T>(dx, "avg_pool: dx");
    windows_.for_each(exec, [&](std::int64_t x_at, std::int64_t y_at) {
      kernels_.spread(windows_.window(), dys + y_at, write == Write::add, dxs + x_at);
    });
  }

 private:
  Windows windows_;
  const PoolKernels<T>& kernels_;
};

}  // namespace

std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem& problem, AvgPool::Pass pass, const Isa& isa) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<AvgPool, AvgPoolForwardKernel<T>, AvgPoolBackwardKernel<T>>(pass, problem, isa);
  });
}

}  // namespace apam::kernels::cpu
