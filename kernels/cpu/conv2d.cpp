// Convolution: the method for each problem and pass. Direct products support every problem. Winograd is used for 3x3 filters
// with stride 1 or 2 if there are enough channels and tiles for its transforms to pay. In bfloat16: the tile unit if the
// instruction set has one, else the float32 method on converted operands.
#include <algorithm>
#include <variant>

#include "kernels/cpu/amx/amx_product.h"
#include "kernels/cpu/amx/amx_weight.h"
#include "kernels/cpu/conv2d_direct.h"
#include "kernels/cpu/converted.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/cpu/narrow_weight.h"
#include "kernels/cpu/winograd_product.h"
#include "kernels/cpu/winograd_weight.h"

namespace apam::kernels::cpu {
namespace {

// Below these, Winograd's transforms cost more than the products they save: those of x and y if the other side has few
// channels, those of the filters if few tiles share them.
constexpr int kMinChannels = 16;
constexpr std::int64_t kMinTiles = 16;

bool winograd_pays(const Conv2d::Problem& problem, const TileGrid& grid) {
  return winograd_supports(problem) && std::min(problem.c, problem.k) >= kMinChannels && grid.count() >= kMinTiles;
}

using Product = std::variant<GatherProduct, WinogradProduct>;
using Weight = std::variant<WeightProduct, NarrowWeight, WinogradWeight>;

Product forward_product(Exec& exec, const Conv2d::Problem& problem, const Isa& isa) {
  const TileGrid grid = forward_grid(problem);
  if (winograd_pays(problem, grid)) return WinogradProduct(exec, grid, FilterUse::forward, isa);
  return GatherProduct(exec, forward_shape(problem), isa);
}

Product backward_input_product(Exec& exec, const Conv2d::Problem& problem, const Isa& isa) {
  const TileGrid grid = backward_input_grid(problem);
  if (winograd_pays(problem, grid)) return WinogradProduct(exec, grid, FilterUse::rotated, isa);
  return GatherProduct(exec, backward_input_shape(problem), isa);
}

Weight backward_weight_product(Exec& exec, const Conv2d::Problem& problem, const Isa& isa) {
  const TileGrid grid = forward_grid(problem);
  if (winograd_pays(problem, grid)) return WinogradWeight(exec, grid, isa);
  if (NarrowWeight::supports(problem, isa)) return NarrowWeight(exec, problem, isa);
  return WeightProduct(exec, backward_weight_shape(problem), isa);
}

class ForwardKernel final : public Conv2d::Kernel {
 public:
  ForwardKernel(Exec& exec, const Conv2d::Problem& problem, const Isa& isa) : product_(forward_product(exec, problem, isa)) {}

  void forward(Exec& exec, In x, ConstSpan<float> w, Out y) override {
    const float* xs = elements<float>(x, "conv2d: x");
    float* ys = elements<float>(y, "conv2d: y");
    std::visit([&](const auto& product) { product.run(exec, xs, w.data(), false, ys); }, product_);
  }

 private:
  Product product_;
};

class BackwardInputKernel final : public Conv2d::Kernel {
 public:
  BackwardInputKernel(Exec& exec, const Conv2d::Problem& problem, const Isa& isa)
      : product_(backward_input_product(exec, problem, isa)) {}

  void backward_input(Exec& exec, In dy, ConstSpan<float> w, Out dx, Write write) override {
    const float* dys = elements<float>(dy, "conv2d: dy");
    float* dxs = elements<float>(dx, "conv2d: dx");
    const bool accumulate = write == Write::add;
    std::visit([&](const auto& product) { product.run(exec, dys, w.data(), accumulate, dxs); }, product_);
  }

 private:
  Product product_;
};

class BackwardWeightKernel final : public Conv2d::Kernel {
 public:
  BackwardWeightKernel(Exec& exec, const Conv2d::Problem& problem, const Isa& isa)
      : product_(backward_weight_product(exec, problem, isa)) {}

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    const float *xs = elements<float>(x, "conv2d: x"), *dys = elements<float>(dy, "conv2d: dy");
    const bool accumulate = write == Write::add;
    std::visit([&](const auto& product) { product.run(exec, xs, dys, accumulate, dw.data()); }, product_);
  }

 private:
  Weight product_;
};

class TileForwardKernel final : public Conv2d::Kernel {
 public:
  TileForwardKernel(Exec& exec, const Conv2d::Problem& problem, const TileKernels16& tiles)
      : product_(exec, problem, Conv2d::Pass::forward, tiles) {}

  void forward(Exec& exec, In x, ConstSpan<float> w, Out y) override {
    product_.run(exec, x.as<BFloat16>("conv2d: x").data(), w.data(), false, y.as<BFloat16>("conv2d: y").data());
  }

 private:
  AmxProduct product_;
};

class TileBackwardInputKernel final : public Conv2d::Kernel {
 public:
  TileBackwardInputKernel(Exec& exec, const Conv2d::Problem& problem, const TileKernels16& tiles)
      : product_(exec, problem, Conv2d::Pass::backward_input, tiles) {}

  void backward_input(Exec& exec, In dy, ConstSpan<float> w, Out dx, Write write) override {
    product_.run(exec, dy.as<BFloat16>("conv2d: dy").data(), w.data(), write == Write::add,
                 dx.as<BFloat16>("conv2d: dx").data());
  }

 private:
  AmxProduct product_;
};

class TileBackwardWeightKernel final : public Conv2d::Kernel {
 public:
  TileBackwardWeightKernel(Exec& exec, const Conv2d::Problem& problem, const TileKernels16& tiles)
      : product_(exec, problem, tiles) {}

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    product_.run(exec, x.as<BFloat16>("conv2d: x").data(), dy.as<BFloat16>("conv2d: dy").data(), write == Write::add,
                 dw.data());
  }

 private:
  AmxWeight product_;
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, const Isa& isa) {
  if (problem.type == DType::bfloat16 && isa.tiles != nullptr) {
    return make_by_pass<Conv2d, TileForwardKernel, TileBackwardInputKernel, TileBackwardWeightKernel>(pass, exec, problem,
                                                                                                      *isa.tiles);
  }
  if (problem.type == DType::bfloat16) return make_converted(exec, problem, pass, isa);
  return make_by_pass<Conv2d, ForwardKernel, BackwardInputKernel, BackwardWeightKernel>(pass, exec, problem, isa);
}

}  // namespace apam::kernels::cpu
