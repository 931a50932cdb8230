// The products that convolutions and linear layers are computed by, on the host side: which tiles, how many splits, what
// workspace. A linear layer is a convolution of images of one pixel. Kernels: gather_product.h, tma_product.h,
// weight_product.h.
#pragma once

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/operands.h"
#include "kernels/cuda/weight_split.h"
#include "kernels/ops/conv2d.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {

/// How a product is divided among blocks.
struct Division {
  TileSize tile = TileSize::t64x64;
  int splits = 1;  ///< of the depth of each tile
};

/// How the operands of a gathered product reach shared memory.
enum class Loads : std::uint8_t { by_threads, by_tma };

/// Whether TMA can load a product's operands: channels and filters in multiples of 8, strides and windows that a box of images
/// has. Such a product needs has_wgmma().
bool fits_tma(const Conv2d::Problem& problem, bool backward);

/// y from x, or dx from dy: T is the type of activations.
template <class T>
class GatherPlan {
 public:
  struct Operands {
    const T* source;    // x (N, H, W, C), or dy (N, P, Q, K)
    Weights w;          // (K, R, S, C)
    const float* bias;  // (K), or null
    T* result;          // y (N, P, Q, K), or dx (N, H, W, C)
    Write write = Write::overwrite;
  };

  /// Adds what it needs to the workspace. Keeps counters in memory of the device of `exec`.
  GatherPlan(const Exec& exec, const Conv2d::Problem& problem, bool backward, WorkspacePlan& workspace,
             TileSize tile = TileSize::best, Loads loads = Loads::by_threads);
  void run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const;

 private:
  Conv2d::Problem problem_;
  bool backward_;
  Loads loads_;
  Division division_;
  Region<T> rounded_;    // (K, R, S, C): weights without a copy in bfloat16
  Region<float> parts_;  // (splits, tiles of all phases, elements of a tile)
  Counters counters_;    // (tiles of all phases, counters of PartGroups)
};

/// Whether a layer adds a bias to its products.
enum class Bias : bool { no, yes };

/// dw from x and dy; with a bias, also its gradient.
template <class T>
class WeightPlan {
 public:
  struct Operands {
    const T* x;   // (N, H, W, C)
    const T* dy;  // (N, P, Q, K)
    float* dw;    // (K, R, S, C)
    float* db;    // (K), or null without a bias
    Write write = Write::overwrite;
  };

  /// Keeps counters in memory of the device of `exec`.
  WeightPlan(const Exec& exec, const Conv2d::Problem& problem, WorkspacePlan& workspace, TileSize tile = TileSize::best,
             Bias bias = Bias::no);
  void run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const;

 private:
  Conv2d::Problem problem_;
  std::int64_t columns_;  // of the product
  WeightSplit split_;
  Region<float> parts_;  // (splits, tiles, elements of a tile)
  Counters counters_;    // (tiles, counters of PartGroups)
};

}  // namespace apam::kernels::cuda
