// Products by wgmma with a bug each, and what the emulator reports.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/wgmma_tile.h"

#include <simt/launch.h>

namespace apam::kernels::cuda {
namespace {

using emulator::Report;
using emulator::Schedule;

enum class Bug : std::uint8_t {
  none,
  no_fence,
  no_proxy_fence,
  proxy_fence_after_barrier,
  no_commit,
  no_wait,
  wait_for_one_less,
  refilled_in_flight,
  refilled_by_another_warp,
  sums_changed,
  lanes_differ,
  warps_differ,
  no_swizzle,
  no_copy_wait,
};

/// Two products of a stage of 64 x 64 times 64 x 64, filled by cp.async and by ordinary stores; between them thread 0 of warp 1
/// changes the stage's last chunk to what it was.
template <Bug bug>
struct TwoProducts {
  struct Args {
    float* out;              // (64, 64)
    const BFloat16* values;  // (128, 64)
  };
  static constexpr int threads = 128, min_blocks = 1, kChunks = 128 * 8;
  static constexpr std::uint32_t shared_bytes = kChunks * 16;

  static void refill(const Args& args, Shared<Chunk<BFloat16>> stage) {
    if (thread() != 32) return;
    stage[WideLines::by_row(127, 1)] = load_pack<8>(args.values + 127 * 64 + 8);
  }

  static void run(const Args& args, SharedBytes shared) {
    const auto stage = shared.array<Chunk<BFloat16>>(0, kChunks);
    for (int i = thread(); i < kChunks; i += threads) {
      const auto to = stage + WideLines::by_row(i / 8, i % 8);
      if (i < 64 * 8) {
        cp_async_16(to, args.values + i * 8, true);
      } else {
        to[0] = load_pack<8>(args.values + i * 8);
      }
    }
    cp_async_commit();
    if constexpr (bug != Bug::no_copy_wait) cp_async_wait<0>();
    if constexpr (bug != Bug::no_proxy_fence && bug != Bug::proxy_fence_after_barrier) fence_async_proxy();
    sync_block();
    if constexpr (bug == Bug::proxy_fence_after_barrier) fence_async_proxy();
    std::uint64_t a = wgmma_operand_by_row(stage), b = wgmma_operand_by_row(stage + 64 * 8);
    if constexpr (bug == Bug::lanes_differ) a += lane() == 5 ? 2 : 0;
    if constexpr (bug == Bug::warps_differ) b += warp() == 3 ? 2 : 0;
    if constexpr (bug == Bug::no_swizzle) b &= ~(std::uint64_t{3} << 62);
    float sums[32] = {};
    for (int round = 0; round < 2; ++round) {
      if constexpr (bug != Bug::no_fence) wgmma_fence();
      wgmma<false, false>(sums, a, b);
      if constexpr (bug != Bug::no_commit) wgmma_commit();
      if constexpr (bug == Bug::sums_changed) sums[7] = 1;
      if constexpr (bug == Bug::refilled_in_flight) refill(args, stage);
      if constexpr (bug == Bug::wait_for_one_less) wgmma_wait<1>();
      if constexpr (bug != Bug::no_wait && bug != Bug::wait_for_one_less) wgmma_wait<0>();
      if constexpr (bug != Bug::refilled_by_another_warp) sync_block();
      if constexpr (bug != Bug::refilled_in_flight) refill(args, stage);
      if constexpr (bug != Bug::no_proxy_fence) fence_async_proxy();
      sync_block();
    }
    for (int i = 0; i < 32; ++i) args.out[thread() * 32 + i] = sums[i];
    cp_async_wait<0>();
  }
};

struct Outcome {
  Report report;
  std::vector<float> out;
};

class WgmmaBugs : public testing::TestWithParam<Schedule> {
 protected:
  template <Bug bug>
  static Outcome run() {
    std::vector<BFloat16> values(128 * 64);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = BFloat16(static_cast<float>(i * 7 % 13) - 6);
    Outcome outcome{{}, std::vector<float>(64 * 64, -1)};
    Exec exec;
    exec.cache<emulator::Machine>().settings.schedule = GetParam();
    outcome.report = report_of<TwoProducts<bug>>(exec, {}, {outcome.out.data(), values.data()});
    return outcome;
  }
  template <Bug bug>
  static void expect_found(std::string_view what) {
    const Report report = run<bug>().report;
    EXPECT_TRUE(report.mentions(what)) << report.text();
  }
  template <Bug bug>
  static void expect_nan_and(std::string_view what) {
    const Outcome outcome = run<bug>();
    EXPECT_TRUE(outcome.report.mentions(what)) << outcome.report.text();
    EXPECT_TRUE(std::isnan(outcome.out.front()));
  }
};

TEST_P(WgmmaBugs, the_right_kernel_has_no_findings) {
  const Outcome outcome = run<Bug::none>();
  EXPECT_EQ(outcome.report.text(), "");
  EXPECT_FALSE(std::isnan(outcome.out.front()));
}

TEST_P(WgmmaBugs, a_missing_fence_of_registers) { expect_found<Bug::no_fence>("without a wgmma_fence since the last wait"); }

TEST_P(WgmmaBugs, writes_that_the_asynchronous_proxy_may_not_see) {
  constexpr auto kFound = "no fence_async_proxy between it and the barrier";
  expect_found<Bug::no_proxy_fence>(kFound);
  expect_found<Bug::proxy_fence_after_barrier>(kFound);
}

TEST_P(WgmmaBugs, sums_read_before_the_wait_are_nan) {
  expect_nan_and<Bug::no_wait>("a thread ended before its wgmma did");
  expect_nan_and<Bug::no_commit>("a thread ended before its wgmma did");
  expect_nan_and<Bug::wait_for_one_less>("a thread ended before its wgmma did");
}

TEST_P(WgmmaBugs, sums_changed_before_the_wait) { expect_found<Bug::sums_changed>("were changed before the wait"); }

TEST_P(WgmmaBugs, operands_overwritten_while_a_product_reads_them) {
  expect_found<Bug::refilled_in_flight>("still reads: a wait is missing");
  // Another warp's wait is not known before a barrier: its product is in flight, or has been read without order.
  const Report report = run<Bug::refilled_by_another_warp>().report;
  EXPECT_TRUE(report.mentions("still reads: a wait is missing") || report.mentions("race: write")) << report.text();
}

TEST_P(WgmmaBugs, operands_that_are_not_filled) { expect_found<Bug::no_copy_wait>("has not filled: a wait is missing"); }

TEST_P(WgmmaBugs, descriptors_that_differ_or_are_not_known) {
  expect_found<Bug::lanes_differ>("the lanes of a warp issue different products");
  expect_found<Bug::warps_differ>("the warps of a warpgroup issue different products");
  expect_found<Bug::no_swizzle>("swizzle 0 of a descriptor");
}

INSTANTIATE_TEST_SUITE_P(schedules, WgmmaBugs, testing::Values(Schedule::in_turn, Schedule::hasty, Schedule::random),
                         [](const auto& of) { return "number_" + std::to_string(static_cast<int>(of.param)); });

}  // namespace
}  // namespace apam::kernels::cuda
