// The table of vector kernels of one instruction set, see isa.h. Plain data and function pointers only, because files compiled
// for an instruction set include this header.
//
// T is the type in which activations are stored: float, or Bits16 for bfloat16. Kernels compute in float.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector/winograd_scheme.h"

namespace apam::kernels::cpu {

inline constexpr int kLineFloats = 16;  // per cache line

/// The bits of a bfloat16: files compiled for an instruction set must not call the inline functions of BFloat16.
using Bits16 = std::uint16_t;

/// Over `count` contiguous elements. The operations on an element are the same at any position, in whole and partial vectors,
/// so results do not depend on how the elements are split over threads.
template <class T>
struct PointwiseKernels {
  void (*add)(const T* a, const T* b, T* y, std::int64_t count);
  void (*scale)(float factor, const T* x, T* y, std::int64_t count);
  void (*relu)(const T* x, T* y, std::int64_t count);
  void (*relu_backward)(const T* dy, const T* y, T* dx, bool accumulate, std::int64_t count);
  void (*from_float)(const float* x, T* y, std::int64_t count);
  void (*to_float)(const T* x, float* y, std::int64_t count);
};

/// OptimizerStep::Scalars of kernels/ops/optimizer_step.h.
struct StepScalars {
  float weight_decay;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float eps;
  float momentum;
};

/// OptimizerStep::Steps of kernels/ops/optimizer_step.h.
struct GradientSteps {
  int count;              // of steps
  const float* rates;     // (count)
  const float* const* g;  // (count), each (size)
  const float* from;      // (size)
};

/// Weights and moments after the steps; each (size).
struct StepOutputs {
  float* w;
  float *m, *v, *vh;  // those that the rule lacks are null
};

/// Element-wise; optimizer steps on the elements begin .. end-1.
struct OptimizerKernels {
  using Steps = void (*)(const StepScalars&, const GradientSteps&, const StepOutputs&, std::int64_t begin, std::int64_t end);
  Steps sgd, momentum, nesterov, adam, amsgrad;
  void (*running_average)(float momentum, const float* batch, float* running, std::int64_t count);
};

/// Affine map per channel: (x - mean) * factor + shift; each (C).
struct ChannelMap {
  const float* mean;
  const float* factor;
  const float* shift;
};

template <class T>
struct NormaliseIn {
  const T* x;         // (rows, C)
  const T* residual;  // (rows, C), or null
};

/// Coefficients of batch norm's input gradient: dx = factor * (g - mean_g - (x - mean) * slope); each (C).
struct ChannelGradient {
  const float* mean;
  const float* factor;
  const float* mean_g;
  const float* slope;
};

/// Which elements passed a ReLU, one bit per element. A row is padded to whole vectors of gate_bytes(width) bytes each.
using Gate = std::uint8_t;
constexpr std::int64_t gate_bytes(int width) { return (width + 7) / 8; }

template <class T>
struct GradientIn {
  const T* dy;  // (rows, C)
  const T* x;   // (rows, C)
};
/// sum_g = sum of g, sum_gx = sum of g * (x - mean); each (C).
struct GradientSums {
  const float* mean;
  float* sum_g;
  float* sum_gx;
};
template <class T>
struct GradientOut {
  T* dx;          // (rows, C)
  T* d_residual;  // (rows, C), or null
  bool accumulate_dx, accumulate_residual;
};

/// Over a block (rows, c).
template <class T>
struct BatchNormKernels {
  /// mean (C), and m2 (C) = sum over the rows of (x - mean)^2; `origin` (C) is scratch.
  void (*moments)(const T* x, std::int64_t rows, std::int64_t c, float* origin, float* mean, float* m2);
  /// y = act(map(x) + residual); `residual` may be null. `stream` is as in PanelOut.
  void (*normalise)(const ChannelMap&, const NormaliseIn<T>&, bool relu, T* y, bool stream, std::int64_t rows, std::int64_t c);
  /// Sums of g, with g = 0 where y <= 0, else dy; `gate` receives the mask. Without ReLU `y` and `gate` are null, and g = dy.
  void (*gradient_sums)(const GradientIn<T>&, const T* y, Gate* gate, const GradientSums&, std::int64_t rows, std::int64_t c);
  /// `gate` as written by gradient_sums, or null.
  void (*gradient)(const ChannelGradient&, const GradientIn<T>&, const Gate* gate, const GradientOut<T>&, std::int64_t rows,
                   std::int64_t c);
};

/// One window of average pooling: `size` rows of `size` pixels of `c` channels; rows are `row_stride` elements apart.
struct Window {
  int size;
  std::int64_t row_stride, c;
};

template <class T>
struct PoolKernels {
  /// y (c) = mean of the window.
  void (*mean)(const Window&, const T* x, T* y);
  /// dx (+)= dy / size^2 for all pixels of the window.
  void (*spread)(const Window&, const T* dy, bool accumulate, T* dx);
};

/// How the columns of a panel are written to each output row.
struct PanelOut {
  std::int64_t first;  ///< first column
  int columns;         ///< at most a panel
  bool accumulate;
  bool stream = false;  ///< non-temporal stores, see kernels/cpu/streaming.h; never with `accumulate`
};

/// A block of rows with pointers to their inputs: `count` tiles of TileKernels::rows rows.
struct RowTiles {
  const float* const* rows;  // (tiles, taps, rows in a tile): the channels of each row at each tap
  float* const* out;         // (tiles, rows in a tile): column 0 of each output row
  int count, taps;
};
/// A packed panel of B (depth, panel), starting with the first row of a range, and the panel to prefetch for a later call;
/// `next` may be any address.
struct Panel {
  const float* at;
  const float* next;
};
/// The part of the sum in one call: channels first .. first + length - 1 of taps first_tap .. first_tap + taps - 1.
struct TapRange {
  int first_tap, taps;
  std::int64_t first, length;
};

/// Rows that a product sums over, in `parts` of `depth` each: row p of part q is at offset q * part + p * step.
struct OuterRows {
  std::int64_t step, part = 0;
};
/// The tiles of such a product. Element i of tile t is at offset t * a_tile + i in a row of a.
struct OuterTiles {
  std::int64_t depth, parts;
  OuterRows a, b;
  std::int64_t a_tile;
  float* out;  // (rows, out_stride)
  std::int64_t out_stride;
  int rows;  ///< in all tiles; the last tile may read beyond them and discards the results
};

/// A product that sums over the pixels of some lines. For pixel p of line q, the element of row i is at rows[i] + q * line +
/// p * step, and the row of b at offset (q * pixels + p) * b_step.
struct WindowTiles {
  const float* const* rows;  // (row_count, padded to whole tiles)
  int row_count;
  std::int64_t lines, pixels, line, step, b_step;
  float* out;  // (rows, out_stride)
  std::int64_t out_stride;
};

/// Pieces of `length` floats that are copied to a packed operand: piece p from rows[p] + first to to + p * stride.
struct Pieces {
  const float* const* rows;
  std::int64_t count, first;
  int length;
  std::int64_t stride;
};

/// Matrix products in register tiles of one shape, see vector/gemm.h.
struct TileKernels {
  int rows, panel;  ///< rows and columns of a tile
  void (*row_product)(const RowTiles&, const TapRange&, const PanelOut&, const Panel&);
  void (*outer_product)(const OuterTiles&, const PanelOut&, const float* a, const float* b);
  /// Packs `columns` columns of from (depth, stride) as outer_product's a; the last tile is padded with zeros.
  void (*pack_tiles)(const float* from, std::int64_t stride, std::int64_t depth, int columns, float* to);
  /// Packs a part of outer_product's b.
  void (*pack_pieces)(const Pieces&, float* to);
};

/// Kernels per register tile shape, in order of preference; best_tile() of isa.h chooses.
inline constexpr int kMaxTileShapes = 5;
struct GemmKernels {
  TileKernels tiles[kMaxTileShapes];
  int count;
  int window_rows, window_panel;  ///< of window_product's tile
  void (*window_product)(const WindowTiles&, const PanelOut&, const float* b);
};

/// The weights of a panel for Winograd's filter transform: the columns of filter position `tap`, row i are at from +
/// tap * tap_stride + i * row_stride.
struct FilterRows {
  const float* from;
  std::int64_t tap_stride, row_stride;
  std::int64_t count, columns;
};
/// Output of Winograd's weight gradient: 9 taps of `columns` channels.
struct WeightsOut {
  std::int64_t tap_stride, columns;
  bool accumulate;
};

/// Pointers to the (channels) of each pixel of a tile, row by row, and of the next tile, to prefetch.
template <class T>
struct TilePixels {
  const T* const* pixels;
  const T* const* next;
};

/// Winograd transforms between pixels and points, which are planes of floats, `plane` floats apart. Of one Tiling, see
/// vector/winograd.h.
template <class T>
struct WinogradKernels {
  /// Pixels of an input tile to points.
  void (*input)(const TilePixels<T>&, std::int64_t channels, float* to, std::int64_t plane);
  /// Points to pixels of an output tile, pointers to their column 0. PanelOut::stream is for float only.
  void (*output)(const float* from, std::int64_t plane, const PanelOut&, T* const* pixels);
  /// For weight gradients: pixels of a tile of dy to points. Null for Tiling::up.
  void (*gradient)(const TilePixels<T>&, std::int64_t channels, float* to, std::int64_t plane);
};
/// Winograd transforms of filters.
struct WinogradFilterKernels {
  /// 3x3 weights of a panel to filter points, planes of (rows, panel); padded columns are zero.
  void (*filter)(const FilterRows&, std::int64_t panel, float* to, std::int64_t plane);
  /// For weight gradients: filter points to 3x3 weight gradients. Null for Tiling::up.
  void (*weights)(const float* from, std::int64_t plane, const WeightsOut&, float* to);
};

/// (rows, columns), rows `stride` floats apart.
struct Matrix {
  const float* at;
  std::int64_t stride, rows, columns;
};

/// Kernels on activations that are stored as T.
template <class T>
struct ActivationKernels {
  PointwiseKernels<T> pointwise;
  BatchNormKernels<T> batch_norm;
  PoolKernels<T> pool;
  WinogradKernels<T> winograd[kTilings];
};

struct TileKernels16;

/// Everything that is compiled once per instruction set.
struct Isa {
  const char* name;       ///< "portable", "avx2", "avx512", "avx512_bf16", "amx"
  int width;              ///< floats in a vector
  bool fused;             ///< whether fma rounds once
  bool streams;           ///< whether it has non-temporal stores
  void (*store_fence)();  ///< makes non-temporal stores visible to other threads
  ActivationKernels<float> float32;
  ActivationKernels<Bits16> bfloat16;
  OptimizerKernels optimizer;
  GemmKernels gemm;
  WinogradFilterKernels winograd_filters[kTilings];
  /// to (columns, to_stride) = the matrix transposed.
  void (*transpose)(const Matrix&, float* to, std::int64_t to_stride);
  /// Convolution in products of bfloat16, see bf16/tables.h; null: without.
  const TileKernels16* tiles = nullptr;
};

}  // namespace apam::kernels::cpu
