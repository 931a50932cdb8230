// How rows and channels are divided among blocks (row_sums.h), on the host.
#include <gtest/gtest.h>

#include "kernels/cuda/row_sums.h"

namespace apam::kernels::cuda {
namespace {

TEST(RowTiling, covers_all_rows_and_channels_with_few_blocks) {
  for (const BlockLimits limits : {BlockLimits{4, 132}, BlockLimits{10, 132}, BlockLimits{4, 8}}) {
    for (const int count : {1, 4}) {
      for (const int c : {4, 8, 32, 36, 64, 80, 128, 512, 2052}) {
        for (const int rows : {1, 63, 64, 65, 1280, 5120, 20480, 81920, 81921, 524288}) {
          const RowTiling tiling = RowTiling::of(rows, c, count, sizeof(BFloat16), limits);
          SCOPED_TRACE(testing::Message() << rows << " x " << c << ", packs of " << count << ", few " << limits.few << " on "
                                          << limits.multiprocessors << " multiprocessors");
          EXPECT_GE(std::int64_t{tiling.row_blocks()} * tiling.rows_per_block, rows);
          EXPECT_LT(std::int64_t{tiling.row_blocks() - 1} * tiling.rows_per_block, rows);
          EXPECT_GE((tiling.channel_blocks() << tiling.lane_bits) * count, c);
          EXPECT_LE(count << tiling.lane_bits, 32) << "channels of a block, in bfloat16";
          EXPECT_EQ(tiling.rows_per_block % (kRowThreads >> tiling.lane_bits), 0);
          EXPECT_LE(tiling.row_blocks() * tiling.channel_blocks(), 2 * limits.multiprocessors + tiling.channel_blocks());
        }
      }
    }
  }
}

TEST(RowTiling, refuses_more_channels_than_its_offsets_can_count) {
  EXPECT_THROW(RowTiling::of(2, 1 << 22, 4, sizeof(float), {1}), ShapeError);
}

}  // namespace
}  // namespace apam::kernels::cuda
