// Tiles of operands in shared memory, in chunks of 16 bytes: 8 elements of bfloat16 or 4 of float32. Two layouts:
//
//   by row     (rows, 4 chunks)        the depth of the product is contiguous: 64 bytes of it per row
//   by depth   (depth, columns / chunk)  rows or columns of the product are contiguous
//
// Chunks are swizzled, so that 8 neighbours down a column of chunks meet all 32 banks: those are what one cycle of ldmatrix, or
// of eight 16-byte loads, reads.
//
// Products of a warpgroup (wgmma_tile.h) read tiles whose lines have 8 chunks, which the hardware's swizzle of 128 bytes
// permutes:
//
//   by row     (rows, 8 chunks)
//   by depth   (groups of 64 rows or columns, depth, 8 chunks)
#pragma once

#include "kernels/cuda/elements.h"

#include <simt/macros.h>
#include <simt/shared.h>

namespace apam::kernels::cuda {

template <class T>
inline constexpr int kChunk = 16 / sizeof(T);  // elements

template <class T>
using Chunk = Pack<T, kChunk<T>>;

inline constexpr int kRowChunks = 4;  // per row of a tile by row

/// Where chunk (row, chunk) of a tile by row is stored.
constexpr int place_by_row(int row, int chunk) { return row * kRowChunks + (chunk ^ (row >> 1 & 3)); }

/// Where chunk (depth, chunk) of a tile by depth is stored. `chunks` per depth is a multiple of 8.
template <int chunks>
constexpr int place_by_depth(int depth, int chunk) {
  static_assert(chunks % 8 == 0, "the swizzle permutes 8 chunks");
  return depth * chunks + (chunk ^ (depth & 7));
}

/// The two layouts for mma and FMA, by the names that a product of tiles gives them.
struct NarrowLines {
  static constexpr int row_chunks = kRowChunks;  // by row
  static constexpr int by_row(int row, int chunk) { return place_by_row(row, chunk); }
  /// By depth, with `chunks` per depth: places of depths that differ by a multiple of 8 differ by as many times `pitch`.
  template <int chunks, int depth>
  static constexpr int pitch = chunks;
  template <int chunks, int depth>
  static constexpr int by_depth(int at, int chunk) {
    return place_by_depth<chunks>(at, chunk);
  }
};

/// The two layouts for wgmma. Tiles begin at multiples of 1024 bytes.
struct WideLines {
  static constexpr int row_chunks = 8;
  static constexpr int by_row(int row, int chunk) { return row * 8 + (chunk ^ (row & 7)); }
  template <int chunks, int depth>
  static constexpr int pitch = 8;
  template <int chunks, int depth>
  static constexpr int by_depth(int at, int chunk) {
    static_assert(chunks % 8 == 0 && depth % 8 == 0);
    return (chunk / 8 * depth + at) * 8 + (chunk % 8 ^ (at & 7));
  }
};

/// `valid` elements from memory of any alignment, then zeros.
template <class T>
DEVICE Chunk<T> load_unaligned(const T* from, int valid) {
  Chunk<T> chunk;
#pragma unroll
  for (int e = 0; e < kChunk<T>; ++e) chunk.values[e] = e < valid ? from[e] : Rounded<T>::of(0);
  return chunk;
}

/// Copies the first `valid` elements of a chunk to shared memory, and zeros after them. Asynchronous if `vectors`, in which
/// case the source is aligned and `valid` is 0 or the whole chunk.
template <bool vectors, class T>
DEVICE void copy_chunk(Shared<Chunk<T>> to, const T* from, int valid) {
  if constexpr (vectors) {
    cp_async_16(to, from, valid > 0);
  } else {
    to[0] = load_unaligned(from, valid);
  }
}

}  // namespace apam::kernels::cuda
