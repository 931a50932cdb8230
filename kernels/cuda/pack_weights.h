// Weights as gather_product.h reads them: in the type of activations, with the depth padded to whole chunks by zeros.
//   PackFilters  packed[k][tap][c] = w[k][tap][c]      one thread per chunk
//   PackChannels packed[c][tap][k] = w[k][tap][c]      transposed in shared memory, 32 x 32 per block, so that both sides are
//                                                      contiguous
#pragma once

#include "kernels/cuda/operands.h"
#include "kernels/cuda/tiles.h"

#include <simt/launch.h>
#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

template <class T>
struct PackArgs {
  const float* w;  // (K, taps, C)
  T* packed;       // (K, taps, padded C) or (C, taps, padded K)
  int k, taps, c;
  int padded;
};

template <class T>
struct PackFilters {
  using Args = PackArgs<T>;
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const int chunks = args.padded / kChunk<T>;
    const std::int64_t item = std::int64_t{block().x} * threads + thread();
    const std::int64_t row = item / chunks;  // filter and tap
    if (row >= std::int64_t{args.k} * args.taps) return;
    const int channel = static_cast<int>(item - row * chunks) * kChunk<T>;
    const float* from = args.w + row * args.c + channel;
    Chunk<T> chunk;
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) chunk.values[e] = Rounded<T>::of(channel + e < args.c ? from[e] : 0);
    store_pack<kChunk<T>>(args.packed + item * kChunk<T>, chunk);
  }

  static Extent blocks(const Args& args) {
    return {blocks_for(std::int64_t{args.k} * args.taps * (args.padded / kChunk<T>), threads)};
  }
};

template <class T>
struct PackChannels {
  using Args = PackArgs<T>;
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr int kSide = 32, kPitch = kSide + 1;  // an odd pitch: columns meet all banks
  static constexpr std::uint32_t shared_bytes = kSide * kPitch * sizeof(float);

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto tile = shared.array<float>(0, kSide * kPitch);  // [filter][channel]
    const int first_filter = block().x * kSide, first_channel = block().y * kSide, tap = block().z;
    const int within = thread() % kSide;
    for (int row = thread() / kSide; row < kSide; row += threads / kSide) {
      const int filter = first_filter + row, channel = first_channel + within;
      const bool inside = filter < args.k && channel < args.c;
      tile[row * kPitch + within] = inside ? args.w[(std::int64_t{filter} * args.taps + tap) * args.c + channel] : 0.0F;
    }
    sync_block();
    for (int row = thread() / kSide; row < kSide; row += threads / kSide) {
      const int channel = first_channel + row, filter = first_filter + within;
      if (channel >= args.c || filter >= args.padded) continue;
      const float value = tile[within * kPitch + row];
      args.packed[(std::int64_t{channel} * args.taps + tap) * args.padded + filter] = Rounded<T>::of(value);
    }
  }

  static Extent blocks(const Args& args) { return {blocks_for(args.padded, kSide), blocks_for(args.c, kSide), args.taps}; }
};

}  // namespace apam::kernels::cuda
