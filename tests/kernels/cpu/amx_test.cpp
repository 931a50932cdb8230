// AMX, on processors that have it; on others its machine code is executed by a signal handler (trapped_amx.h).
#include <gtest/gtest.h>

#include <string_view>

#include "kernels/cpu/bf16/amx_support.h"
#include "kernels/cpu/bf16/builds.h"
#include "tests/kernels/cpu/bf16_case.h"

namespace apam::kernels::cpu {
namespace {

using namespace bf16_case;

TEST(AmxUnit, rounds_like_the_emulated_one_and_releases_the_tiles_of_every_thread) {
  const TileKernels16* amx = kernels_on("amx");
  if (amx == nullptr) GTEST_SKIP() << "the processor has no AVX512-BF16";
  const std::int64_t products = trapped_amx().products;
  for (const Problem& problem : problems()) {
    const Operands operands(problem);
    for (const Pass pass : kPasses) {
      SCOPED_TRACE(fmt::format("{} {}", problem.describe(), name_of(pass)));
      expect_same_bits(run(problem, pass, operands, {emulated_tiles()}), run(problem, pass, operands, {*amx, 3}));
      EXPECT_EQ(trapped_amx().configured_threads, 0);
    }
  }
  EXPECT_EQ(trapped_amx().products > products, available_amx_tiles() == nullptr);
}

TEST(AmxSupport, says_why_amx_is_absent) {
  const TileKernels16* tiles = available_amx_tiles();
  EXPECT_EQ(tiles == nullptr, !amx_absence().empty());
  EXPECT_STREQ(tiles == nullptr ? "amx" : tiles->name, "amx");
}

}  // namespace
}  // namespace apam::kernels::cpu
