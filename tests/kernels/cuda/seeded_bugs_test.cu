// Kernels with a bug each, and what the emulator reports. The right kernel is a product of matrices as in gather_product.h, in
// its smallest form: a (16 x depth) * b (8 x depth), both by row, one warp per 16 x 8.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/reductions.h"
#include "kernels/cuda/tiles.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {
namespace {

using emulator::Report;
using emulator::Schedule;

enum class Bug : std::uint8_t { none, no_barrier, no_wait, wrong_swizzle, no_commit };

/// Two warps load stages together, and each multiplies all of a by half of b: 16 x 8 per warp.
template <Bug bug>
struct Multiply {
  struct Args {
    const BFloat16 *a, *b;  // (16, depth), (16, depth)
    float* sums;            // (16, 16)
    int depth;
  };
  static constexpr int threads = 64, min_blocks = 1, kStages = 2;
  static constexpr int kStageChunks = 32 * kRowChunks;
  static constexpr std::uint32_t shared_bytes = kStages * kStageChunks * 16;

  static void load(const Args& args, int step, Shared<Chunk<BFloat16>> stage) {
    for (int item = thread(); item < kStageChunks; item += threads) {
      const int row = item / kRowChunks, chunk = item % kRowChunks, at = step * 32 + chunk * 8;
      const BFloat16* from = row < 16 ? args.a + row * args.depth + at : args.b + (row - 16) * args.depth + at;
      cp_async_16(stage + place_by_row(row, chunk), from, true);
    }
  }
  static int place(int row, int chunk) {
    return bug == Bug::wrong_swizzle ? row * kRowChunks + chunk : place_by_row(row, chunk);
  }

  static void run(const Args& args, SharedBytes shared) {
    const auto stages = shared.array<Chunk<BFloat16>>(0, kStages * kStageChunks);
    const int steps = args.depth / 32;
    float sums[4] = {};
    load(args, 0, stages);
    cp_async_commit();
    for (int step = 0; step < steps; ++step) {
      if constexpr (bug != Bug::no_wait) cp_async_wait<0>();
      if constexpr (bug != Bug::no_barrier) sync_block();
      const auto stage = stages + step % kStages * kStageChunks;
      if (step + 1 < steps) load(args, step + 1, stages + (step + 1) % kStages * kStageChunks);
      if constexpr (bug != Bug::no_commit) cp_async_commit();
      for (int half = 0; half < 2; ++half) {
        std::uint32_t a[4], b[4];
        ldmatrix(a, stage + place(lane() % 16, 2 * half + lane() / 16));
        ldmatrix(b, stage + place(16 + lane() % 16, 2 * half + lane() / 16));
        const std::uint32_t mine[2] = {b[warp()], b[warp() + 2]};
        mma_16x8x16(sums, a, mine);
      }
    }
    cp_async_commit();
    cp_async_wait<0>();
    for (int e = 0; e < 4; ++e) args.sums[(lane() / 4 + e / 2 * 8) * 16 + warp() * 8 + lane() % 4 * 2 + e % 2] = sums[e];
  }
};

struct Outcome {
  Report report;
  bool right;
};

template <Bug bug>
Outcome multiply(Schedule schedule) {
  constexpr int kDepth = 96;
  std::vector<BFloat16> a(16 * kDepth), b(16 * kDepth);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = BFloat16(static_cast<float>(i * 7 % 13) - 6);
    b[i] = BFloat16(static_cast<float>(i * 5 % 11) - 5);
  }
  std::vector<float> sums(256, -1), expected(256);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 16; ++column) {
      for (int d = 0; d < kDepth; ++d)
        expected[row * 16 + column] += float(a[row * kDepth + d]) * float(b[column * kDepth + d]);
    }
  }
  Exec exec;
  exec.cache<emulator::Machine>().settings.schedule = schedule;
  const Report report = report_of<Multiply<bug>>(exec, {}, {a.data(), b.data(), sums.data(), kDepth});
  return {report, sums == expected};  // sums of small whole numbers are exact
}

class SeededBugs : public testing::TestWithParam<Schedule> {};

TEST_P(SeededBugs, the_right_kernel_has_no_findings_and_no_bank_conflicts) {
  const Outcome outcome = multiply<Bug::none>(GetParam());
  EXPECT_EQ(outcome.report.text(), "");
  EXPECT_TRUE(outcome.right);
  ASSERT_FALSE(outcome.report.banks.empty());
  for (const auto& [place, use] : outcome.report.banks) EXPECT_EQ(use.cycles, use.least_cycles) << place;
}

TEST_P(SeededBugs, a_missing_barrier_is_a_race_named_by_both_places) {
  const Report report = multiply<Bug::no_barrier>(GetParam()).report;
  EXPECT_TRUE(report.mentions("race: read at seeded_bugs_test.cu:")) << report.text();
  EXPECT_TRUE(report.mentions("and access at seeded_bugs_test.cu:")) << report.text();
}

TEST_P(SeededBugs, a_missing_wait_reads_memory_that_is_not_filled) {
  const Outcome outcome = multiply<Bug::no_wait>(GetParam());
  EXPECT_TRUE(outcome.report.mentions("a wait is missing")) << outcome.report.text();
  EXPECT_FALSE(outcome.right);  // it was NaN
}

TEST_P(SeededBugs, a_missing_commit_leaves_the_copy_out_of_the_wait) {
  const Outcome outcome = multiply<Bug::no_commit>(GetParam());
  EXPECT_TRUE(outcome.report.mentions("a wait is missing")) << outcome.report.text();
  EXPECT_FALSE(outcome.right);
}

TEST_P(SeededBugs, a_swizzle_on_one_side_only_gives_wrong_sums_and_bank_conflicts) {
  const Outcome outcome = multiply<Bug::wrong_swizzle>(GetParam());
  EXPECT_FALSE(outcome.right);
  ASSERT_FALSE(outcome.report.banks.empty());
  for (const auto& [place, use] : outcome.report.banks) EXPECT_EQ(use.cycles, 4 * use.least_cycles) << place;
}

INSTANTIATE_TEST_SUITE_P(schedules, SeededBugs, testing::Values(Schedule::in_turn, Schedule::hasty, Schedule::random),
                         [](const auto& of) { return "number_" + std::to_string(static_cast<int>(of.param)); });

/// Sums 64 numbers of a block through shared memory.
template <bool barrier, int size>
struct Exchange {
  struct Args {
    float* out;  // (64)
  };
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = size * sizeof(float);
  static void run(const Args& args, SharedBytes shared) {
    const auto values = shared.array<float>(0, size);
    values[thread()] = static_cast<float>(thread());
    if constexpr (barrier) sync_block();
    args.out[thread()] = values[63 - thread()];
  }
};

template <class K>
Report exchange() {
  std::vector<float> out(64);
  Exec exec;
  return report_of<K>(exec, {}, {out.data()});
}

TEST(SharedMemory, accesses_of_other_threads_need_a_barrier) {
  EXPECT_EQ((exchange<Exchange<true, 64>>().text()), "");
  const Report report = exchange<Exchange<false, 64>>();
  EXPECT_TRUE(report.mentions("never written") || report.mentions("race")) << report.text();
}

TEST(SharedMemory, accesses_outside_an_array_stop_the_block) {
  const Report report = exchange<Exchange<true, 63>>();
  EXPECT_TRUE(report.mentions("outside its array: byte 252 of 252")) << report.text();
}

/// Lanes write and read neighbours' elements.
template <bool barrier>
struct WithinWarp {
  struct Args {
    float* out;  // (32)
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 32 * sizeof(float);
  static void run(const Args& args, SharedBytes shared) {
    const auto values = shared.array<float>(0, 32);
    values[lane()] = static_cast<float>(lane());
    if constexpr (barrier) {
      sync_warp();
    } else {
      warp_sum(1);  // meets, but orders nothing
    }
    args.out[lane()] = values[31 - lane()];
  }
};

TEST(SharedMemory, a_shuffle_does_not_order_accesses_of_a_warp) {
  EXPECT_EQ(exchange<WithinWarp<true>>().text(), "");
  EXPECT_TRUE(exchange<WithinWarp<false>>().mentions("by the same warp"));
}

struct PartOfBlock {
  struct Args {
    float* out;
  };
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  static void run(const Args&) {
    if (warp() == 0) sync_block();
  }
};
struct PartOfWarp {
  struct Args {
    float* out;
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  static void run(const Args& args) {
    if (lane() < 16) args.out[lane()] = shuffle_xor(1.0F, 1);
  }
};
struct TwoMeetings {
  struct Args {
    float* out;
  };
  static constexpr int threads = 32, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  static void run(const Args& args) { args.out[lane()] = lane() < 16 ? shuffle_xor(1.0F, 1) : shuffle(2.0F, 3); }
};

TEST(Collectives, need_all_participants) {
  EXPECT_TRUE(exchange<PartOfBlock>().mentions("deadlock: 32 threads wait for sync_block at seeded_bugs_test.cu:"));
  EXPECT_TRUE(exchange<PartOfWarp>().mentions("deadlock: 16 threads wait for shuffle_xor at seeded_bugs_test.cu:"));
  EXPECT_TRUE(exchange<TwoMeetings>().mentions("lanes of one warp meet in shuffle"));
}

/// Counts blocks whose results another block is to read.
template <bool fence>
struct CountBlocks {
  struct Args {
    float* out;  // (64)
  };
  static constexpr int threads = 64, min_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 0;
  static void run(const Args& args) {
    args.out[thread()] = 1;
    if constexpr (fence) fence_grid();
    sync_block();  // a fence before it does not cover what the other threads have written
    if (thread() != 0) return;
    std::uint32_t counter = 0;
    if constexpr (fence) fence_grid();
    count_up(&counter, 0);
  }
};

TEST(Counters, need_a_fence_after_the_barrier) {
  EXPECT_EQ(exchange<CountBlocks<true>>().text(), "");
  EXPECT_TRUE(exchange<CountBlocks<false>>().mentions("is not preceded by a fence"));
}

TEST(Launch, throws_what_the_emulator_finds) {
  std::vector<float> out(64);
  Exec exec;
  EXPECT_THROW(launch<PartOfBlock>(exec, {}, {out.data()}), DeviceError);
  EXPECT_THROW((void)thread(), DeviceError);  // outside a kernel
}

}  // namespace
}  // namespace apam::kernels::cuda
