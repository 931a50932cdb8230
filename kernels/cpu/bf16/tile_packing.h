// Packing of the operands of tile products, see tables.h. Loops over 16 or 32 elements, which compilers vectorise.
#pragma once

#include "kernels/cpu/bf16/short_copy.h"
#include "kernels/cpu/bf16/tile_product.h"

namespace apam::kernels::cpu {
namespace {

inline constexpr int kBlockChannels = kTileDepth;   // of pack_pixels
inline constexpr int kPairChannels = kTileColumns;  // of pair_pixels

inline void pack_pixels(const PixelRow& row, const Bits16* from, const PackedRow& packed) {
  constexpr int kBytes = kBlockChannels * sizeof(Bits16);
  const int whole = row.channels / kBlockChannels * kBlockChannels, rest = row.channels - whole;
  for (std::int64_t pixel = 0; pixel < row.pixels; ++pixel) {
    Bits16* to = packed.to + pixel * packed.step;
    if (from == nullptr) {
      for (int c = 0; c < row.channels; c += kBlockChannels, to += packed.plane) __builtin_memset(to, 0, kBytes);
      continue;
    }
    const Bits16* at = from + pixel * row.step;
    for (int c = 0; c < whole; c += kBlockChannels, to += packed.plane) __builtin_memcpy(to, at + c, kBytes);
    if (rest == 0) continue;
    __builtin_memset(to, 0, kBytes);
    short_copy(at + whole, rest, to);
  }
}

// 16 or 32 elements of a row. Vectors are not passed by value: without AVX-512 that would depend on the compiler.
using Words = std::uint32_t __attribute__((vector_size(64)));
using Halves = Bits16 __attribute__((vector_size(32)));

/// to (16, 2): the even element of a pair is the low half of a word.
inline void pair_block(const Bits16* even, const Bits16* odd, Bits16* to) {
  Halves low, high;
  __builtin_memcpy(&low, even, sizeof low);
  __builtin_memcpy(&high, odd, sizeof high);
  const Words pairs = __builtin_convertvector(low, Words) | __builtin_convertvector(high, Words) << 16U;
  __builtin_memcpy(to, &pairs, sizeof pairs);
}
/// Up to 16 channels; null is zero.
inline void pair_part(const Bits16* even, const Bits16* odd, int channels, Bits16* to) {
  Bits16 rows[2][kPairChannels] = {};
  const int count = channels < kPairChannels ? channels : kPairChannels;
  for (int c = 0; even != nullptr && c < count; ++c) rows[0][c] = even[c];
  for (int c = 0; odd != nullptr && c < count; ++c) rows[1][c] = odd[c];
  pair_block(rows[0], rows[1], to);
}

inline void pair_pixels(const PixelRow& row, const Bits16* even, const Bits16* odd, const PackedRow& packed) {
  const bool none = even == nullptr && odd == nullptr, both = even != nullptr && odd != nullptr;
  for (std::int64_t pixel = 0; pixel < row.pixels; ++pixel) {
    Bits16* to = packed.to + pixel * packed.step;
    const std::int64_t at = pixel * row.step;
    for (int c = 0; c < row.channels; c += kPairChannels, to += packed.plane) {
      if (none) {
        __builtin_memset(to, 0, 2 * kPairChannels * sizeof(Bits16));
      } else if (both && c + kPairChannels <= row.channels) {
        pair_block(even + at + c, odd + at + c, to);
      } else {
        pair_part(even == nullptr ? nullptr : even + at + c, odd == nullptr ? nullptr : odd + at + c, row.channels - c, to);
      }
    }
  }
}

/// (16, 16) words, by exchanging the off-diagonal blocks of 8 x 8, 4 x 4, 2 x 2 and 1 x 1.
inline void transpose_words(const Bits16* from, Bits16* to) {
  Words in[16], out[16];
  __builtin_memcpy(in, from, sizeof in);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    out[i] = __builtin_shufflevector(in[i], in[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    out[i + 8] = __builtin_shufflevector(in[i], in[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    const int i = k / 4 * 8 + k % 4;
    in[i] = __builtin_shufflevector(out[i], out[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    in[i + 4] = __builtin_shufflevector(out[i], out[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    const int i = k / 2 * 4 + k % 2;
    out[i] = __builtin_shufflevector(in[i], in[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    out[i + 2] = __builtin_shufflevector(in[i], in[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    in[i] = __builtin_shufflevector(out[i], out[i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    in[i + 1] = __builtin_shufflevector(out[i], out[i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  __builtin_memcpy(to, in, sizeof in);
}

inline void transpose_pairs(const Bits16* from, std::int64_t tiles, Bits16* to) {
  for (std::int64_t tile = 0; tile < tiles; ++tile) transpose_words(from + tile * kTileBits, to + tile * kTileBits);
}

/// to (kLength) = `length` rounded weights, then zeros.
template <class Unit, int kLength>
inline void round_row(const float* from, int length, Bits16* to) {
  float padded[kLength] = {};
  if (length < kLength) {
    for (int i = 0; i < length; ++i) padded[i] = from[i];
    from = padded;
  }
  for (int i = 0; i < kLength; i += kTileColumns) Unit::round(from + i, false, to + i);
}

template <class Unit>
void pack_filters(const FilterTile& tile, Bits16* to) {
  Bits16 rounded[kTileColumns][kTileDepth];  // in pairs of depth, to be transposed
  for (int j = 0; j < kTileColumns; ++j) {
    round_row<Unit, kTileDepth>(tile.from + (j < tile.rows ? j * tile.stride : 0), j < tile.rows ? tile.length : 0, rounded[j]);
  }
  transpose_words(rounded[0], to);
}

template <class Unit>
void pack_rotated(const FilterTile& tile, Bits16* to) {
  for (int p = 0; p < kTilePairs; ++p, to += 2 * kTileColumns) {
    Bits16 rows[2][kTileColumns];
    for (int i = 0; i < 2; ++i) {
      const int row = 2 * p + i;
      round_row<Unit, kTileColumns>(tile.from + (row < tile.rows ? row * tile.stride : 0), row < tile.rows ? tile.length : 0,
                                    rows[i]);
    }
    pair_block(rows[0], rows[1], to);
  }
}

}  // namespace
}  // namespace apam::kernels::cpu
