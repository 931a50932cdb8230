// The FMA peak is measured with the same instruction sets that the kernels use.
#include "bench/machine/machine.h"

#include <gtest/gtest.h>

#include "kernels/cpu/isa.h"

namespace apam::bench {
namespace {

TEST(FmaRates, end_with_the_instruction_set_in_use) {
  const auto rates = fma_rates(1);
  ASSERT_FALSE(rates.empty());
  EXPECT_EQ(rates.front().isa, "portable");
  const kernels::cpu::Isa& isa = kernels::cpu::default_isa();
  EXPECT_EQ(rates.back().isa, isa.tiles == nullptr ? isa.name : kernels::cpu::available_isas().back()->name);
  for (const FmaRate& rate : rates) EXPECT_GT(rate.gflops, 0) << rate.isa;
}

}  // namespace
}  // namespace apam::bench
