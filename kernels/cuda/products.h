// The products that convolutions and linear layers are computed by, on the host side: which tiles, how many splits, what
// workspace. A linear layer is a convolution of images of one pixel. Kernels: gather_product.h, weight_product.h.
#pragma once

#include "kernels/cuda/operands.h"
#include "kernels/ops/conv2d.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {

/// The tile of a product in bfloat16, rows x columns; products in float32 have one kind of tile.
enum class TileSize : std::uint8_t { best, t64x64, t128x64, t128x128 };

/// y from x, or dx from dy: T is the type of activations.
template <class T>
class GatherPlan {
 public:
  struct Operands {
    const T* source;    // x (N, H, W, C), or dy (N, P, Q, K)
    const float* w;     // (K, R, S, C)
    const float* bias;  // (K), or null
    T* result;          // y (N, P, Q, K), or dx (N, H, W, C)
    Write write = Write::overwrite;
  };

  /// Adds what it needs to the workspace.
  GatherPlan(const Conv2d::Problem& problem, bool backward, WorkspacePlan& workspace, TileSize tile = TileSize::best);
  void run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const;

 private:
  Conv2d::Problem problem_;
  bool backward_;
  TileSize tile_;
  Region<T> packed_;  // weights
};

/// dw from x and dy.
template <class T>
class WeightPlan {
 public:
  struct Operands {
    const T* x;   // (N, H, W, C)
    const T* dy;  // (N, P, Q, K)
    float* dw;    // (K, R, S, C)
    Write write = Write::overwrite;
  };

  WeightPlan(const Conv2d::Problem& problem, WorkspacePlan& workspace, TileSize tile = TileSize::best);
  void run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const;

 private:
  Conv2d::Problem problem_;
  TileSize tile_;
  int pixels_per_split_ = 0, splits_ = 1;
  Region<float> sums_;  // (splits, K, R, S, C)
};

}  // namespace apam::kernels::cuda
