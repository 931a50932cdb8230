// Our own thread pool, if the system starts fewer threads than a loop requests. (OpenMP ends the process in that case.)
#include <gtest/gtest.h>

#include <array>

#include "kernels/runtime/parallel.h"
#include "tests/support/few_threads.h"

namespace apam {
namespace {

TEST(Pool, runs_every_index_once_on_fewer_threads) {
  for (const std::size_t most : {0, 2, 50}) {
    const support::FewThreads few(most);
    for (int round = 1; round <= 20; ++round) {
      std::array<int, 8> calls{};
      parallel(8, [&](int index) { ++calls[static_cast<std::size_t>(index)]; });
      EXPECT_EQ(calls, (std::array<int, 8>{1, 1, 1, 1, 1, 1, 1, 1})) << most << " threads, round " << round;
    }
  }
}

}  // namespace
}  // namespace apam
