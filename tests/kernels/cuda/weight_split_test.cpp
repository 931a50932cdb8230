// Into how many splits the pixels of a weight gradient are divided.
#include "kernels/cuda/weight_split.h"

#include <gtest/gtest.h>

namespace apam::kernels::cuda {
namespace {

WeightWork convolution(int k, int c, int taps, std::int64_t pixels, bool wgmma = false) {
  return {.filters = k, .columns = round_up(std::int64_t{taps} * c, 8), .pixels = pixels, .packed = c % 8 != 0, .wgmma = wgmma};
}

constexpr int depth_of(TileSize size) { return size == TileSize::t128x128 ? 32 : 64; }

TEST(WeightSplit, covers_all_pixels_and_leaves_no_split_empty) {
  for (const int channels : {3, 8, 64, 512}) {
    for (const std::int64_t pixels : {1, 31, 64, 65, 1000, 8192, 81920, 1'000'003}) {
      for (const TileSize wanted : {TileSize::best, TileSize::t64x64, TileSize::t64x128, TileSize::t128x64, TileSize::t128x128,
                                    TileSize::w64x64, TileSize::w128x64, TileSize::w128x128}) {
        const WeightSplit split = split_weight<BFloat16>(wanted, convolution(64, channels, 9, pixels, is_wgmma(wanted)));
        EXPECT_TRUE(wanted == TileSize::best || split.tile == wanted);
        const std::int64_t per_split = std::int64_t{split.stages} * depth_of(split.tile);
        EXPECT_GE(per_split * split.splits, pixels) << channels << " channels, " << pixels << " pixels";
        EXPECT_LT(per_split * (split.splits - 1), pixels) << channels << " channels, " << pixels << " pixels";
      }
    }
  }
}

TEST(WeightSplit, has_blocks_for_most_multiprocessors_where_there_is_work_for_them) {
  for (const bool wgmma : {false, true}) {
    for (const WeightWork& work :
         {convolution(64, 64, 9, 81920, wgmma), convolution(128, 128, 9, 20480, wgmma), convolution(256, 256, 9, 5120, wgmma),
          convolution(512, 512, 9, 1280, wgmma), convolution(512, 512, 9, 8192, wgmma)}) {
      const WeightSplit split = split_weight<BFloat16>(TileSize::best, work);
      const TileShape shape = shape_of(split.tile);
      const std::int64_t blocks = ceil_div(work.filters, shape.rows) * ceil_div(work.columns, shape.columns) * split.splits;
      EXPECT_GE(blocks, kMultiprocessors / 2) << work.filters << " filters, " << work.pixels << " pixels";
    }
  }
}

TEST(WeightSplit, by_wgmma_has_its_tiles) {
  EXPECT_TRUE(is_wgmma(split_weight<BFloat16>(TileSize::best, convolution(64, 64, 9, 81920, true)).tile));
  EXPECT_FALSE(is_wgmma(split_weight<BFloat16>(TileSize::best, convolution(64, 64, 9, 81920)).tile));
}

TEST(WeightSplit, of_few_channels_has_a_tile_that_leaves_registers) {
  EXPECT_EQ(split_weight<BFloat16>(TileSize::best, convolution(128, 3, 9, 81920)).tile, TileSize::t64x64);
}

TEST(WeightSplit, of_float32_has_its_one_tile) {
  EXPECT_EQ(split_weight<float>(TileSize::t128x128, convolution(128, 64, 9, 81920)).tile, TileSize::t64x64);
}

}  // namespace
}  // namespace apam::kernels::cuda
