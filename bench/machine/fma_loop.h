// sums[i] = sums[i] / 2 + 1 in kChains registers: nothing but multiply-adds, once for each instruction set. Every chain
// waits for itself alone: a multiply-add takes 4 cycles on today's processors and two start in each, so 8 chains would do;
// 12 leave room, and fit 16 registers together with both factors. The sums tend to 2: no overflow, no denormal numbers.
// Compiled with the options of an instruction set, so, as kernels/cpu/isa.h demands, the template has no external linkage
// and nothing of the standard library is included but <cstdint>.
#pragma once

#include <cstdint>

namespace apam::bench {

struct FmaLoop {
  const char* isa;
  /// Does `rounds` rounds and leaves something that depends on all of them in `result` (16 floats).
  void (*run)(std::int64_t rounds, float* result);
  double flops;  ///< of one round
};

FmaLoop portable_fma_loop();
FmaLoop avx2_fma_loop();
FmaLoop avx512_fma_loop();

namespace {

constexpr int kChains = 12;

template <class V>
void run_fma_loop(std::int64_t rounds, float* result) {
  const auto half = V::set1(0.5F);
  const auto one = V::set1(1);
  typename V::Float sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = V::set1(static_cast<float>(i));
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
