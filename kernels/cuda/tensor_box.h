// What TMA, the copy engine of Hopper's multiprocessors, copies to shared memory: a box of a tensor of bfloat16. The host
// describes tensor and box, tensor_map() (simt/tma.h) turns that into what the instructions read, and a load names the place of
// the box in the tensor.
//
// A box arrives as lines of 64 elements, 128 bytes, with the swizzle of 128 bytes: WideLines of tiles.h. What is outside the
// tensor arrives as zeros. Tensors are contiguous; their sizes and coordinates begin with the innermost dimension.
//
// Sources: CUDA driver API, cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col; PTX ISA, "Tensors".
#pragma once

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace apam::kernels::cuda {

inline constexpr int kBoxLine = 64;         // elements
inline constexpr int kBoxAlignment = 1024;  // bytes, of a box in shared memory: then the swizzle is that of its address

/// A tensor of three dimensions, and a box of 64 x 1 x `lines` elements.
struct MatrixBox {
  const BFloat16* data;   // (sizes[2], sizes[1], sizes[0]), aligned to 16 bytes
  std::int64_t sizes[3];  // sizes[0] is a multiple of 8
  int lines;              // 1 .. 256
};

/// Images, and a box of 64 channels of `pixels` consecutive pixels (im2col). A base pixel of image n is
///   (lower.h + step * i, lower.w + step * j)   with 0 <= i, j as long as it is at most (h - 1 + upper.h, w - 1 + upper.w).
/// From the base pixel that a load names, the box walks through those of a line, then those of the next lines, then the next
/// image's. A load moves all of them by the same offset, that of a tap: those are the pixels it copies.
struct ImageBox {
  struct Corner {
    int h, w;  // -128 .. 127
  };
  const BFloat16* data;  // (n, h, w, c), aligned to 16 bytes
  int n, h, w, c;        // c is a multiple of 8
  Corner lower, upper;
  int step;    // 1 .. 8
  int pixels;  // 1 .. 1024
};

/// Where a load begins: the first element of a MatrixBox in its tensor.
struct MatrixPlace {
  int x, y, z;
};
/// The first base pixel of an ImageBox, its first channel, and the offset of all pixels.
struct ImagePlace {
  int c, w, h, n;
  int offset_w, offset_h;  // 0 .. 255
};

inline constexpr int kLeastCorner = -128, kMostCorner = 127, kMostOffset = 255, kMostBoxStep = 8;
inline constexpr int kMostBoxLines = 256, kMostBoxPixels = 1024;

}  // namespace apam::kernels::cuda
