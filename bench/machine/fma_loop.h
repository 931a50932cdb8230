// sums[i] = sums[i] / 2 + 1 in kChains registers. Every chain waits for itself alone: a multiply-add takes 4 cycles on
// today's processors and two start in each, so 8 chains would do; 12 leave room, and fit 16 registers with both factors.
// The sums tend to 2: no overflow, no denormal numbers. As kernels/cpu/isa.h demands, nothing here has external linkage.
#pragma once

#include "bench/machine/fma_loops.h"

namespace apam::bench {
namespace {

constexpr int kChains = 12;

template <class V>
void run_fma_loop(std::int64_t rounds, float* result) {
  const auto half = V::all(0.5F);
  const auto one = V::all(1);
  typename V::Float sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = V::all(static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kChains; ++i) sums[i] = V::fma(sums[i], half, one);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = V::add(sums[0], sums[i]);
  V::store(result, sums[0]);
}

template <class V>
FmaLoop fma_loop() {
  return {V::name, run_fma_loop<V>, 2.0 * V::width * kChains};
}

}  // namespace
}  // namespace apam::bench
