// Average pooling, NHWC:
//   y[n,p,q,c] = mean over i,j < window of x[n, p*window + i, q*window + j, c];   dx = dy / window^2 of the pixel's window, 0
//   outside all windows
// A thread computes a pack of neighbouring channels of one output pixel; threads run along channels, then pixels. So the loads
// of a warp are contiguous, and every element is read once.
#include "kernels/cuda/elements.h"
#include "kernels/cuda/make.h"
#include "kernels/cuda/operands.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {
namespace {

struct Sizes {
  int h, w, packs;   // of x; packs of channels per pixel
  int out_h, out_w;  // of y
  int window;
};

/// The pack that a thread computes: channels from `pack * count` of a pixel.
struct Place {
  int pack, column, row;
  std::int64_t image;
};

DEVICE Place place_of(std::int64_t item, int packs, int width, int height) {
  const auto pack = static_cast<int>(item % packs);
  item /= packs;
  const auto column = static_cast<int>(item % width);
  item /= width;
  return {pack, column, static_cast<int>(item % height), item / height};
}

template <class T, int count>
struct Forward {
  struct Args {
    Sizes sizes;
    const T* x;  // (N, H, W, C)
    T* y;        // (N, P, Q, C)
    std::int64_t items;
  };
  static constexpr int threads = 128, min_blocks = 8;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const Sizes& s = args.sizes;
    const std::int64_t item = std::int64_t{block().x} * threads + thread();
    if (item >= args.items) return;
    const Place at = place_of(item, s.packs, s.out_w, s.out_h);
    float sums[count] = {};
    for (int i = 0; i < s.window; ++i) {
      const std::int64_t row = (at.image * s.h + at.row * s.window + i) * s.w + std::int64_t{at.column} * s.window;
      for (int j = 0; j < s.window; ++j) {
        const auto x = load_pack<count>(args.x + ((row + j) * s.packs + at.pack) * count);
#pragma unroll
        for (int e = 0; e < count; ++e) sums[e] += to_float(x.values[e]);
      }
    }
    Pack<T, count> y;
#pragma unroll
    for (int e = 0; e < count; ++e) y.values[e] = Rounded<T>::of(sums[e] / static_cast<float>(s.window * s.window));
    store_pack<count>(args.y + item * count, y);
  }
};

template <class T, int count>
struct Backward {
  struct Args {
    Sizes sizes;
    const T* dy;  // (N, P, Q, C)
    T* dx;        // (N, H, W, C)
    std::int64_t items;
    bool add;
  };
  static constexpr int threads = 128, min_blocks = 8;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const Sizes& s = args.sizes;
    const std::int64_t item = std::int64_t{block().x} * threads + thread();
    if (item >= args.items) return;
    const Place at = place_of(item, s.packs, s.w, s.h);
    const int p = at.row / s.window, q = at.column / s.window;
    const bool inside = p < s.out_h && q < s.out_w;
    Pack<T, count> dy{}, dx;
    if (inside) dy = load_pack<count>(args.dy + (((at.image * s.out_h + p) * s.out_w + q) * s.packs + at.pack) * count);
    if (args.add) dx = load_pack<count>(args.dx + item * count);
#pragma unroll
    for (int e = 0; e < count; ++e) {
      const float gradient = inside ? to_float(dy.values[e]) / static_cast<float>(s.window * s.window) : 0;
      write(dx.values[e], gradient, args.add);
    }
    store_pack<count>(args.dx + item * count, dx);
  }
};

Sizes sizes_of(const AvgPool::Problem& p, int count) { return {p.h, p.w, p.c / count, p.out_h(), p.out_w(), p.window}; }

template <class T>
class ForwardKernel final : public AvgPool::Kernel {
 public:
  explicit ForwardKernel(const AvgPool::Problem& problem) : problem_(problem) {}
  void forward(Exec& exec, In x, Out y) override {
    const T* xs = elements<T>(x, "avg_pool: x");
    T* ys = elements<T>(y, "avg_pool: y");
    const auto run = [&]<int count>() {
      using Work = Forward<T, count>;
      const auto items = static_cast<std::int64_t>(problem_.y_size()) / count;
      launch<Work>(exec, {blocks_for(items, Work::threads)}, {sizes_of(problem_, count), xs, ys, items});
    };
    with_packs<T>(problem_.c, run, xs, ys);
  }

 private:
  AvgPool::Problem problem_;
};

template <class T>
class BackwardKernel final : public AvgPool::Kernel {
 public:
  explicit BackwardKernel(const AvgPool::Problem& problem) : problem_(problem) {}
  void backward(Exec& exec, In dy, Out dx, Write write) override {
    const T* dys = elements<T>(dy, "avg_pool: dy");
    T* dxs = elements<T>(dx, "avg_pool: dx");
    const auto run = [&]<int count>() {
      using Work = Backward<T, count>;
      const auto items = static_cast<std::int64_t>(problem_.x_size()) / count;
      launch<Work>(exec, {blocks_for(items, Work::threads)}, {sizes_of(problem_, count), dys, dxs, items, write == Write::add});
    };
    with_packs<T>(problem_.c, run, dys, dxs);
  }

 private:
  AvgPool::Problem problem_;
};

}  // namespace

std::unique_ptr<AvgPool::Kernel> make(Exec&, const AvgPool::Problem& problem, AvgPool::Pass pass, Target) {
  return with_storage(problem.type,
                      [&]<class T>() { return make_by_pass<AvgPool, ForwardKernel<T>, BackwardKernel<T>>(pass, problem); });
}

}  // namespace apam::kernels::cuda
