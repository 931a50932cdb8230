// Batch norm's kernels with tilings of their own, compiled for the emulator and, in builds with CUDA, for the GPU. Operands are
// small whole numbers with sums that are exact in any order, so sums do not depend on how rows are divided among blocks, nor
// results on the number of batches that a thread computes.
#include <gtest/gtest.h>

#include "kernels/cuda/batch_norm.h"
#include "tests/kernels/cuda/on_device.h"

namespace apam::kernels::cuda {
namespace {

using namespace batch_norm;

constexpr int kRows = 1024 + 128, kWidth = 16, kCount = 4;
constexpr int kRowsPerBlock[] = {128, 256, 512, 1024};  // one to eight rows per thread; the last block has fewer
constexpr int kSumRowsPerBlock[] = {8, 128, 1024};      // the first makes more parts than the threads of a block read at once

RowTiling tiling(int rows_per_block) { return {kRows, kWidth, kWidth / kCount, 2, rows_per_block}; }

/// 0 .. 7, of mean 3.5 and variance 5.25, also in each block.
std::vector<float> inputs() {
  std::vector<float> x;
  for (int row = 0; row < kRows; ++row) {
    for (int c = 0; c < kWidth; ++c) x.push_back(static_cast<float>((row * 5 + c) % 8));
  }
  return x;
}

struct PerChannel : Array<float> {
  explicit PerChannel(float value = -1) : Array(std::vector<float>(kWidth, value)) {}
};
struct PerElement : Array<float> {
  PerElement() : Array(std::vector<float>(kRows * kWidth, -1.0F)) {}
};

struct Operands {
  Array<float> x{inputs()};
  PerChannel ones{1}, zeros{0};
  Array<Pair> memory{std::vector<Pair>(kRows / kSumRowsPerBlock[0] * kWidth)};

  RowParts parts(const RowTiling& of) const { return {memory.data(), of.row_blocks(), kWidth}; }
};

using BatchNormTilings = OnDevice;

TEST_F(BatchNormTilings, statistics_and_normalised_rows_are_the_same_in_all) {
  const Operands in;
  Exec exec({.device = kDevice});
  for (const int sum_rows : kSumRowsPerBlock) {
    const RowTiling sums = tiling(sum_rows);
    launch<Moments<float, kCount>>(exec, sums.blocks(), {sums, in.x.data(), in.parts(sums)});
    std::vector<float> expected;
    for (const int map_rows : kRowsPerBlock) {
      SCOPED_TRACE(testing::Message() << sum_rows << " and " << map_rows << " rows per block");
      const RowTiling map = tiling(map_rows);
      const PerChannel mean, variance, inv_std;
      const PerElement y;
      const BatchMoments batch{in.parts(sums), Weights::of(sums), mean.data(), variance.data(), inv_std.data()};
      launch<Normalise<float, kCount, false, true, true>>(
          exec, map.blocks(),
          {map, in.x.data(), in.x.data(), nullptr, nullptr, in.ones.data(), in.zeros.data(), batch, 0, y.data()});
      for (int c = 0; c < kWidth; ++c) {
        EXPECT_EQ(mean.values()[c], 3.5F);
        EXPECT_FLOAT_EQ(variance.values()[c], 5.25F * kRows / (kRows - 1));
        EXPECT_FLOAT_EQ(inv_std.values()[c], 1 / std::sqrt(5.25F));
      }
      if (expected.empty()) expected = y.values();
      EXPECT_EQ(y.values(), expected);
    }
    EXPECT_EQ(expected[0], 0);  // max(0, -3.5 / sqrt(5.25) + 0)
    EXPECT_FLOAT_EQ(expected[7], 3.5F / std::sqrt(5.25F) + 7);
  }
}

TEST_F(BatchNormTilings, gradients_are_the_same_in_all) {
  const Operands operands;
  const float* x = operands.x.data();
  const float* ones = operands.ones.data();
  Exec exec({.device = kDevice});
  const GradientOperands<float> in{x, x, x, ones};  // dy, x, y, mean
  std::vector<float> expected;
  for (const int sum_rows : kSumRowsPerBlock) {
    const RowTiling sums = tiling(sum_rows);
    launch<GradientSums<float, kCount, true>>(exec, sums.blocks(), {sums, in, operands.parts(sums)});
    for (const int map_rows : kRowsPerBlock) {
      SCOPED_TRACE(testing::Message() << sum_rows << " and " << map_rows << " rows per block");
      const RowTiling map = tiling(map_rows);
      const PerChannel dgamma, dbeta;
      const PerElement dx, d_residual;
      launch<Gradient<float, kCount, true, true>>(exec, map.blocks(),
                                                  {map, in, operands.parts(sums), ones, ones, dgamma.data(), dbeta.data(),
                                                   dx.data(), d_residual.data(), 1.0F / kRows, false, false, false});
      EXPECT_EQ(dbeta.values(), std::vector<float>(kWidth, kRows * 3.5F));
      EXPECT_EQ(dgamma.values(), std::vector<float>(kWidth, kRows * 14.0F));  // mean of x (x - 1)
      EXPECT_EQ(d_residual.values(), operands.x.values());
      if (expected.empty()) expected = dx.values();
      EXPECT_EQ(dx.values(), expected);
    }
  }
  EXPECT_FLOAT_EQ(expected[0], 10.5F);  // 0 - 3.5 - (0 - 1) * 14
}

}  // namespace
}  // namespace apam::kernels::cuda
