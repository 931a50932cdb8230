// Copies by TMA with a bug each, and what the emulator reports.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/wgmma_tile.h"
#include "tests/support/throws.h"

#include <simt/launch.h>
#include <simt/tma.h>

namespace apam::kernels::cuda {
namespace {

using emulator::Report;
using emulator::Schedule;

enum class Bug : std::uint8_t {
  none,
  no_barrier_fence,
  no_barrier_of_block,
  no_init,
  no_wait,
  wait_by_one_lane,
  wait_for_other_box,
  wrong_parity,
  half_the_bytes,
  twice_the_bytes,
  two_arrivals,
  refilled_before_the_barrier,
  misaligned,
  other_map,
  far_offset,
  no_end,
};

/// Two rounds of: a box of 64 lines arrives, a warpgroup multiplies it by itself, thread 0 refills it.
template <Bug bug>
struct TwoRounds {
  struct Args {
    float* out;  // (64, 64)
    TensorMap map, images;
  };
  static constexpr int threads = 128, min_blocks = 1, kBytes = 64 * 128;
  static constexpr std::uint32_t shared_bytes = 2 * kBytes + 2 * sizeof(Mbarrier);

  static void issue(const Args& args, Shared<Chunk<BFloat16>> box, Shared<Mbarrier> arrived) {
    mbarrier_arrive(arrived, bug == Bug::half_the_bytes ? kBytes / 2 : bug == Bug::twice_the_bytes ? 2 * kBytes : kBytes);
    if (bug == Bug::two_arrivals) mbarrier_arrive(arrived, 0);
    if (bug == Bug::other_map) return tma_load(box, args.images, arrived, MatrixPlace{0, 0, 0});
    if (bug == Bug::far_offset) return tma_load(box, args.images, arrived, ImagePlace{0, 0, 0, 0, 256, 0});
    tma_load(bug == Bug::misaligned ? box + 8 : box, args.map, arrived, MatrixPlace{0, 0, 0});
  }

  static void run(const Args& args, SharedBytes shared) {
    const auto box = shared.array<Chunk<BFloat16>>(0, 2 * kBytes / 16);
    const auto arrived = shared.array<Mbarrier>(2 * kBytes, 2);
    if (thread() == 0) {
      if (bug != Bug::no_init) mbarrier_init(arrived, 1);
      if (bug == Bug::wait_for_other_box) mbarrier_init(arrived + 1, 1);
      if (bug != Bug::no_barrier_fence) fence_mbarrier_init();
      issue(args, box, arrived);
      if (bug == Bug::wait_for_other_box) issue(args, box + kBytes / 16, arrived + 1);
    }
    if (bug != Bug::no_barrier_of_block) sync_block();
    float sums[32] = {};
    for (int round = 0; round < 2; ++round) {
      const int parity = bug == Bug::wrong_parity ? 1 - round : round;
      if (bug == Bug::wait_for_other_box && round == 0) mbarrier_wait(arrived + 1, 0);
      const bool waits = bug != Bug::no_wait && (bug != Bug::wait_for_other_box || round == 1);
      if (waits && (bug != Bug::wait_by_one_lane || lane() == 0)) mbarrier_wait(arrived, parity);
      wgmma_fence();
      wgmma<false, false>(sums, wgmma_operand_by_row(box), wgmma_operand_by_row(box));
      wgmma_commit();
      wgmma_wait<0>();
      if (bug != Bug::refilled_before_the_barrier) sync_block();
      if (thread() == 0 && (round == 0 || bug == Bug::no_end)) issue(args, box, arrived);
    }
    for (int i = 0; i < 32; ++i) args.out[thread() * 32 + i] = sums[i];
  }
};

class TmaBugs : public testing::TestWithParam<Schedule> {
 protected:
  template <Bug bug>
  static Report run() {
    std::vector<BFloat16> values(64 * 64);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = BFloat16(static_cast<float>(i * 7 % 13) - 6);
    std::vector<float> out(64 * 64, -1);
    Exec exec;
    exec.cache<emulator::Machine>().settings.schedule = GetParam();
    const TensorMap map = tensor_map({}, MatrixBox{values.data(), {64, 1, 64}, 64});
    const TensorMap images = tensor_map({}, ImageBox{values.data(), 1, 8, 8, 64, {}, {}, 1, 64});
    return report_of<TwoRounds<bug>>(exec, {}, {out.data(), map, images});
  }
  template <Bug bug>
  static void expect_found(std::string_view what) {
    const Report report = run<bug>();
    EXPECT_TRUE(report.mentions(what)) << report.text();
  }
};

TEST_P(TmaBugs, the_right_kernel_has_no_findings) { EXPECT_EQ(run<Bug::none>().text(), ""); }

TEST_P(TmaBugs, mbarriers_that_others_may_not_see) {
  expect_found<Bug::no_barrier_fence>("without fence_mbarrier_init()");
  expect_found<Bug::no_init>("shared memory that was never written");
  const Report report = run<Bug::no_barrier_of_block>();
  EXPECT_TRUE(report.mentions("race: read") || report.mentions("never written")) << report.text();
}

TEST_P(TmaBugs, boxes_that_have_not_arrived) { expect_found<Bug::no_wait>("has not filled: a wait is missing"); }

TEST_P(TmaBugs, lanes_that_have_not_waited) {
  // In some schedules the box has not even arrived.
  const Report report = run<Bug::wait_by_one_lane>();
  EXPECT_TRUE(report.mentions("race: read") || report.mentions("a wait is missing")) << report.text();
}

TEST_P(TmaBugs, waits_for_another_box) {
  // The box itself may have landed, too, but no thread knows.
  const Report report = run<Bug::wait_for_other_box>();
  EXPECT_TRUE(report.mentions("race: read") || report.mentions("a wait is missing")) << report.text();
}

TEST_P(TmaBugs, phases_that_do_not_end) {
  expect_found<Bug::twice_the_bytes>("128 threads wait for an mbarrier");
  expect_found<Bug::half_the_bytes>("more bytes arrived");
  EXPECT_FALSE(run<Bug::wrong_parity>().clean());
}

TEST_P(TmaBugs, arrivals_above_the_count) { expect_found<Bug::two_arrivals>("more arrivals"); }

TEST_P(TmaBugs, boxes_overwritten_while_another_warp_may_read_them) {
  const Report report = run<Bug::refilled_before_the_barrier>();
  EXPECT_TRUE(report.mentions("race: write") || report.mentions("still reads: a wait is missing")) << report.text();
}

TEST_P(TmaBugs, loads_that_the_hardware_does_not_define) {
  expect_found<Bug::misaligned>("is not aligned to 1024 bytes");
  expect_found<Bug::other_map>("has a tensor map of images");
  expect_found<Bug::far_offset>("an offset of 256, expected 0 to 255");
}

TEST_P(TmaBugs, loads_that_outlive_the_block) { expect_found<Bug::no_end>("a block ended before its loads did"); }

INSTANTIATE_TEST_SUITE_P(schedules, TmaBugs, testing::Values(Schedule::in_turn, Schedule::hasty, Schedule::random),
                         [](const auto& of) { return "number_" + std::to_string(static_cast<int>(of.param)); });

TEST(TensorMaps, refuse_what_the_driver_refuses) {
  std::vector<BFloat16> values(64 * 64);
  const MatrixBox matrix{values.data(), {64, 1, 64}, 64};
  const ImageBox images{values.data(), 1, 8, 8, 64, {}, {}, 1, 64};
  const auto refuses = [](auto box, std::initializer_list<std::string_view> words, const auto& change) {
    change(box);
    return support::throws<DeviceError>(words, [&] { (void)tensor_map({}, box); });
  };
  EXPECT_TRUE(refuses(matrix, {"not aligned to 16 bytes"}, [](auto& box) { ++box.data; }));
  EXPECT_TRUE(refuses(matrix, {"60 elements", "multiple of 8"}, [](auto& box) { box.sizes[0] = 60; }));
  EXPECT_TRUE(refuses(matrix, {"a size", "0", "expected 1"}, [](auto& box) { box.sizes[2] = 0; }));
  EXPECT_TRUE(refuses(matrix, {"lines", "257", "1 to 256"}, [](auto& box) { box.lines = 257; }));
  EXPECT_TRUE(refuses(images, {"4 elements", "multiple of 8"}, [](auto& box) { box.c = 4; }));
  EXPECT_TRUE(refuses(images, {"a size", "0"}, [](auto& box) { box.h = 0; }));
  EXPECT_TRUE(refuses(images, {"a corner", "-129", "-128 to 127"}, [](auto& box) { box.lower.w = -129; }));
  EXPECT_TRUE(refuses(images, {"a corner", "128", "-128 to 127"}, [](auto& box) { box.upper.h = 128; }));
  EXPECT_TRUE(refuses(images, {"the step", "9", "1 to 8"}, [](auto& box) { box.step = 9; }));
  EXPECT_TRUE(refuses(images, {"pixels", "1025", "1 to 1024"}, [](auto& box) { box.pixels = 1025; }));
}

}  // namespace
}  // namespace apam::kernels::cuda
