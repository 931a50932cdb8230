// Convolution: the method for each problem and pass. Direct products support every problem. Winograd is used for 3x3 filters
// with stride 1 or 2 if there are enough channels and tiles for its transforms to pay. In bfloat16: products of bfloat16 where
// the instruction set has them and they are faster, else Winograd, whose transforms read and write bfloat16, or a direct
// product on converted operands.
#include <algorithm>
#include <variant>

#include "kernels/cpu/bf16/bf16_product.h"
#include "kernels/cpu/bf16/bf16_weight.h"
#include "kernels/cpu/bf16/windows.h"
#include "kernels/cpu/conv2d_direct.h"
#include "kernels/cpu/converted.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"
#include "kernels/cpu/narrow_weight.h"
#include "kernels/cpu/winograd_product.h"
#include "kernels/cpu/winograd_weight.h"

namespace apam::kernels::cpu {
namespace {

// Below these, Winograd's transforms cost more than the products they save: those of x and y if the other side has few
// channels, those of the filters if few tiles share them.
constexpr int kMinWinogradChannels = 16;
constexpr std::int64_t kMinWinogradTiles = 16;

bool winograd_pays(const Conv2d::Problem& problem, const TileGrid& grid) {
  return winograd_supports(problem) && std::min(problem.c, problem.k) >= kMinWinogradChannels &&
         grid.count() >= kMinWinogradTiles;
}

TileGrid grid_of(const Conv2d::Problem& problem, Conv2d::Pass pass) {
  return pass == Conv2d::Pass::backward_input ? backward_input_grid(problem) : forward_grid(problem);
}
FilterUse filter_use(Conv2d::Pass pass) {
  return pass == Conv2d::Pass::backward_input ? FilterUse::rotated : FilterUse::forward;
}

/// The method of forward and backward_input in float32.
using Product = std::variant<GatherProduct, WinogradProduct<float>>;
Product float_product(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, const Isa& isa) {
  const TileGrid grid = grid_of(problem, pass);
  if (winograd_pays(problem, grid)) return WinogradProduct<float>(exec, grid, filter_use(pass), isa);
  const bool forward = pass == Conv2d::Pass::forward;
  return GatherProduct(exec, forward ? forward_shape(problem) : backward_input_shape(problem), isa);
}

/// The method of backward_weight in float32.
using Weight = std::variant<WeightProduct, NarrowWeight, WinogradWeight<float>>;
Weight float_weight(Exec& exec, const Conv2d::Problem& problem, const Isa& isa) {
  const TileGrid grid = forward_grid(problem);
  if (winograd_pays(problem, grid)) return WinogradWeight<float>(exec, grid, isa);
  if (NarrowWeight::supports(problem, isa)) return NarrowWeight(exec, problem, isa);
  return WeightProduct(exec, backward_weight_shape(problem), isa);
}

/// How many times fewer products Winograd needs than the direct method.
double winograd_saving(const Conv2d::Problem& problem, const TileGrid& grid) {
  const auto direct = std::int64_t{problem.r} * problem.s * problem.n * problem.out_h() * problem.out_w();
  return static_cast<double>(direct) / static_cast<double>(grid.count() * grid.scheme().points());
}

/// One call of a method, or of the one in a variant.
template <class Method, class... Args>
void run_method(const Method& method, Args&&... args) {
  method.run(args...);
}
template <class... Methods, class... Args>
void run_method(const std::variant<Methods...>& method, Args&&... args) {
  std::visit([&](const auto& one) { one.run(args...); }, method);
}

// T: the type in which activations are stored. Method: run(exec, in, w, accumulate, out); make() returns it.
template <class T, class Method>
class Conv2dForwardKernel final : public Conv2d::Kernel {
 public:
  template <class Make>
  explicit Conv2dForwardKernel(const Make& make) : method_(make()) {}

  void forward(Exec& exec, In x, const Weights& w, Out y) override {
    run_method(method_, exec, elements<T>(x, "conv2d: x"), w.data(), false, elements<T>(y, "conv2d: y"));
  }

 private:
  Method method_;
};

template <class T, class Method>
class Conv2dBackwardInputKernel final : public Conv2d::Kernel {
 public:
  template <class Make>
  explicit Conv2dBackwardInputKernel(const Make& make) : method_(make()) {}

  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    run_method(method_, exec, elements<T>(dy, "conv2d: dy"), w.data(), write == Write::add, elements<T>(dx, "conv2d: dx"));
  }

 private:
  Method method_;
};

template <class T, class Method>
class Conv2dBackwardWeightKernel final : public Conv2d::Kernel {
 public:
  template <class Make>
  explicit Conv2dBackwardWeightKernel(const Make& make) : method_(make()) {}

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Write write) override {
    run_method(method_, exec, elements<T>(x, "conv2d: x"), elements<T>(dy, "conv2d: dy"), write == Write::add, dw.data());
  }

 private:
  Method method_;
};

/// The kernel of a pass: product_of() makes the method of forward and backward_input, weight_of() that of backward_weight.
template <class T, class ProductOf, class WeightOf>
std::unique_ptr<Conv2d::Kernel> make_kernel(Conv2d::Pass pass, const ProductOf& product_of, const WeightOf& weight_of) {
  using OneProduct = decltype(product_of());
  if (pass == Conv2d::Pass::forward) return std::make_unique<Conv2dForwardKernel<T, OneProduct>>(product_of);
  if (pass == Conv2d::Pass::backward_input) return std::make_unique<Conv2dBackwardInputKernel<T, OneProduct>>(product_of);
  return std::make_unique<Conv2dBackwardWeightKernel<T, decltype(weight_of())>>(weight_of);
}

}  // namespace

bool bf16_products_pay(const Conv2d::Problem& problem, Conv2d::Pass pass, const Isa& isa) {
  constexpr int kWindowCost = 8;  // columns of float32 products that take as long as packing a window
  if (isa.tiles == nullptr) return false;
  const int rate = isa.tiles->rate;
  const TileGrid grid = grid_of(problem, pass);
  if (winograd_pays(problem, grid) && winograd_saving(problem, grid) >= rate) return false;
  const bool windows = packs_windows(problem);
  if (pass == Conv2d::Pass::backward_weight) return !windows || !NarrowWeight::supports(problem, isa);
  if (pass == Conv2d::Pass::forward && windows) return problem.k * (rate - 1) >= kWindowCost * rate;
  const int depth = pass == Conv2d::Pass::forward ? problem.c : problem.k;  // the last block of it is padded
  return depth * rate >= round_up(depth, kTileDepth);
}

std::unique_ptr<Conv2d::Kernel> make_bf16_products(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass,
                                                   const TileKernels16& tiles) {
  return make_kernel<BFloat16>(
      pass, [&] { return Bf16Product(exec, problem, pass, tiles); }, [&] { return Bf16Weight(exec, problem, tiles); });
}

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, Conv2d::Pass pass, const Isa& isa) {
  if (problem.type == DType::float32) {
    return make_kernel<float>(
        pass, [&] { return float_product(exec, problem, pass, isa); }, [&] { return float_weight(exec, problem, isa); });
  }
  if (bf16_products_pay(problem, pass, isa)) return make_bf16_products(exec, problem, pass, *isa.tiles);
  const TileGrid grid = grid_of(problem, pass);
  if (!winograd_pays(problem, grid)) return make_converted(exec, problem, pass, isa);
  return make_kernel<Bits16>(
      pass, [&] { return WinogradProduct<Bits16>(exec, grid, filter_use(pass), isa); },
      [&] { return WinogradWeight<Bits16>(exec, grid, isa); });
}

}  // namespace apam::kernels::cpu
