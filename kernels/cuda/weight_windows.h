// The part of x that a weight gradient loads: for each pixel of dy, chunks of columns (tap, channel). Two ways, for which
// WeightProduct calls load() before it multiplies another stage, and store() after:
//   AlignedWindows   chunks are whole chunks of a pixel of x: asynchronous copies
//   PackedWindows    a chunk may begin at any address, and have elements of several taps (3 channels: 27 columns in 4 chunks).
//                    Its elements are read one by one to registers, and stored once they are there.
#pragma once

#include "kernels/cuda/divisor.h"
#include "kernels/cuda/tile_sums.h"
#include "kernels/cuda/tiles.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

template <class T>
struct WeightArgs {
  int h, w, c, k;  // of x; filters
  int r, s, stride, padding;
  int columns;      // taps x channels
  int pixel_bytes;  // of x
  int pixels, pixels_per_split;
  Divisor out_h, out_w;
  const T* x;         // (N, H, W, C)
  const T* dy;        // (N, P, Q, K)
  PartGroups splits;  // of the pixels
  SplitSums sums;     // unless there is one split
  float* dw;          // (K, R, S, C)
  float* db;          // (K), or null
  bool add;           // to old dw and db
};

/// Where the window of a pixel of dy begins, without padding: a pixel of x, its row and column. Past the end of the split they
/// are so small that no tap is inside.
struct alignas(16) Place {
  int pixel, row, column;
  int unused = 0;
};

inline constexpr int kOutside = -(1 << 30);  // a row or a column

template <class T>
DEVICE Place place_of(const WeightArgs<T>& args, int pixel, int end) {
  if (pixel >= end) return {0, kOutside, kOutside};
  const int line = args.out_w.quotient(pixel), image = args.out_h.quotient(line);
  const int row = args.out_h.remainder(line, image) * args.stride, column = args.out_w.remainder(pixel, line) * args.stride;
  return {(image * args.h + row) * args.w + column, row, column};
}

/// `count` pixels behind `from`, which need not be in memory.
template <class T>
DEVICE const T* pixels_behind(const WeightArgs<T>& args, const T* from, int count) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(from) + std::int64_t{count} * args.pixel_bytes);
}

/// A tap and a channel, relative to a place: of column `column` of the product.
struct Tap {
  int row, column, channel;

  template <class T>
  DEVICE static Tap of(const WeightArgs<T>& args, int column) {
    const int tap = column / args.c, r = tap / args.s;
    return {r - args.padding, tap - r * args.s - args.padding, column - tap * args.c};
  }
  template <class T>
  DEVICE void advance(const WeightArgs<T>& args) {
    if (++channel < args.c) return;
    channel = 0;
    if (++column < args.s - args.padding) return;
    column = -args.padding;
    ++row;
  }
  /// Elements from a place's pixel to this one.
  template <class T>
  DEVICE std::int64_t offset(const WeightArgs<T>& args) const {
    return (std::int64_t{row} * args.w + column) * args.c + channel;
  }
};

/// Which chunks a thread of a tile loads: chunk thread() % kChunks of every kPixels-th pixel.
template <class Tile>
struct WindowPasses {
  static constexpr int kChunks = Tile::columns / kChunk<typename Tile::Element>;
  static constexpr int kPixels = Tile::threads / kChunks, kCount = Tile::depth / kPixels;
  static_assert(kCount * kPixels == Tile::depth);
  static constexpr int kPass = kPixels * Tile::Lines::template pitch<kChunks, Tile::depth>;  // chunks from one to the next

  /// Where this thread's first chunk is stored.
  DEVICE static int first_place() {
    return Tile::Lines::template by_depth<kChunks, Tile::depth>(thread() / kChunks, thread() % kChunks);
  }
  static_assert(kPixels % 8 == 0, "the swizzle is the same in each pass");
};

template <class Tile>
class AlignedWindows {
  using T = typename Tile::Element;
  using Passes = WindowPasses<Tile>;

 public:
  static constexpr bool in_registers = false;

  DEVICE AlignedWindows(const WeightArgs<T>& args, int first_column)
      : first_(Tap::of(args, first_column + thread() % Passes::kChunks * kChunk<T>)),
        origin_(args.x + first_.offset(args)),
        height_(first_.row < args.r - args.padding ? args.h : 0) {}

  DEVICE void load(const WeightArgs<T>& args, Shared<Place> stage_places, Shared<Chunk<T>> to) {
    const int depth = thread() / Passes::kChunks;
    Place places[Passes::kCount];
#pragma unroll
    for (int i = 0; i < Passes::kCount; ++i) places[i] = stage_places[depth + i * Passes::kPixels];
    const auto mine = to + Passes::first_place();
#pragma unroll
    for (int i = 0; i < Passes::kCount; ++i) {
      const bool inside = static_cast<unsigned>(places[i].row + first_.row) < static_cast<unsigned>(height_) &&
                          static_cast<unsigned>(places[i].column + first_.column) < static_cast<unsigned>(args.w);
      copy_chunk<true>(mine + i * Passes::kPass, pixels_behind(args, origin_, places[i].pixel), inside ? kChunk<T> : 0);
    }
  }
  DEVICE void store(Shared<Chunk<T>> /*to*/) const {}

 private:
  Tap first_;
  const T* origin_;  // for pixel 0; may lie outside of x
  int height_;       // of x; zero if there is no such tap
};

template <class Tile>
class PackedWindows {
  using T = typename Tile::Element;
  using Passes = WindowPasses<Tile>;

 public:
  static constexpr bool in_registers = true;

  DEVICE PackedWindows(const WeightArgs<T>& args, int first_column) {
    const int first = first_column + thread() % Passes::kChunks * kChunk<T>;
    Tap tap = Tap::of(args, first);
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      rows_[e] = first + e < args.columns ? tap.row : kOutside;
      columns_[e] = tap.column;
      offsets_[e] = static_cast<int>(tap.offset(args));
      tap.advance(args);
    }
  }

  DEVICE void load(const WeightArgs<T>& args, Shared<Place> stage_places, Shared<Chunk<T>> /*to*/) {
    const int depth = thread() / Passes::kChunks;
#pragma unroll
    for (int i = 0; i < Passes::kCount; ++i) {
      const Place place = stage_places[depth + i * Passes::kPixels];
      const T* const pixel = pixels_behind(args, args.x, place.pixel);
#pragma unroll
      for (int e = 0; e < kChunk<T>; ++e) {
        const bool inside = static_cast<unsigned>(place.row + rows_[e]) < static_cast<unsigned>(args.h) &&
                            static_cast<unsigned>(place.column + columns_[e]) < static_cast<unsigned>(args.w);
        chunks_[i].values[e] = inside ? pixel[offsets_[e]] : Rounded<T>::of(0);
      }
    }
  }
  DEVICE void store(Shared<Chunk<T>> to) const {
    const auto mine = to + Passes::first_place();
#pragma unroll
    for (int i = 0; i < Passes::kCount; ++i) mine[i * Passes::kPass] = chunks_[i];
  }

 private:
  int rows_[kChunk<T>], columns_[kChunk<T>], offsets_[kChunk<T>];  // of the taps; a row outside if there is none
  Chunk<T> chunks_[Passes::kCount];
};

}  // namespace apam::kernels::cuda
