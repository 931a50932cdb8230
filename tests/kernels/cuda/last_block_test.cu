// Sums over blocks: the result is that of a fixed order, and counters are ready for the next launch. Compiled for the emulator
// and, in builds with CUDA, for the GPU, where blocks end in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/last_block.h"
#include "tests/kernels/cuda/on_device.h"

#include <simt/launch.h>
#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

/// Sums one number per block, in two levels; several sums at once.
struct SumBlocks {
  struct Args {
    float* sums;              // (sums)
    float* parts;             // (sums, parts)
    std::uint32_t* counters;  // (sums, groups.counters())
    const float* values;      // (sums, parts)
    PartGroups groups;
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = sizeof(int);
  DEVICE static void run(const Args& args, SharedBytes shared) {
    const int sum = block().x, part = block().y;
    float* parts = args.parts + sum * args.groups.count;
    if (thread() == 0) parts[part] = args.values[sum * args.groups.count + part];
    join_parts(args.groups, part, args.counters + sum * args.groups.counters(), shared.array<int>(0, 1),
               [&](const PartRange& range, bool is_all) {
                 if (thread() != 0) return;
                 float total = 0;
                 for (int i = range.begin; i < range.end; i += range.step) total += parts[i];
                 (is_all ? args.sums[sum] : parts[range.begin]) = total;
               });
  }
};

TEST_F(OnDevice, the_last_blocks_add_all_parts_in_order) {
  constexpr int kSums = 3;
  for (const int count : {1, 2, 8, 9, 10, 16, 17, 63, 64, 65, 100}) {
    const PartGroups groups = PartGroups::of(count);
    std::vector<float> values(static_cast<std::size_t>(kSums * count)), expected(kSums);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::ldexp(static_cast<float>(i * 37 % 101) + 1, static_cast<int>(i % 23));
    for (int sum = 0; sum < kSums; ++sum) {
      for (int begin = 0; begin < count; begin += groups.per_group) {
        float of_group = 0;
        for (int i = begin; i < std::min(count, begin + groups.per_group); ++i)
          of_group += values[static_cast<std::size_t>(sum * count + i)];
        expected[static_cast<std::size_t>(sum)] += of_group;
      }
    }
    const Array<float> sums(std::vector<float>(kSums, -1.0F)), parts(values), in(values);
    const Array<std::uint32_t> counters(std::vector<std::uint32_t>(static_cast<std::size_t>(kSums * groups.counters())));
    Exec exec({.device = kDevice});
    for (int launches = 0; launches < 2; ++launches) {  // the second finds the counters as the first did
      launch<SumBlocks>(exec, {kSums, count}, {sums.data(), parts.data(), counters.data(), in.data(), groups});
      EXPECT_EQ(sums.values(), expected) << count;
    }
  }
}

TEST(PartGroups, cover_all_parts) {
  for (int count = 1; count < 2000; ++count) {
    const PartGroups groups = PartGroups::of(count);
    EXPECT_GE(groups.groups() * groups.per_group, count);
    EXPECT_LT((groups.groups() - 1) * groups.per_group, count);
    EXPECT_LE(groups.per_group + groups.groups(), count <= 8 ? 9 : 2 * std::sqrt(count) + 2)
        << "parts that the last block reads";
  }
}

}  // namespace
}  // namespace apam::kernels::cuda
