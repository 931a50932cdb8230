// sums[i] = sums[i] / 2 + 1 in kChains registers: only multiply-adds, compiled once per instruction set.
//
// The chains are independent. With a latency of 4 cycles and two multiply-adds issued per cycle, 8 chains reach the peak; 12
// leave a margin and still fit in 16 registers with the two constants. The sums converge to 2: no overflow, no denormals.
//
// Compiled with the options of an instruction set. As kernels/cpu/isa.h requires, the template has internal linkage and the
// only standard header is <cstdint>.
#pragma once

#include <cstdint>

namespace apam::bench {

struct FmaLoop {
  const char* isa;
  /// Runs `rounds` rounds. `result` (16 floats) depends on all of them, so none can be optimised away.
  void (*run)(std::int64_t rounds, float* result);
  double flops;  ///< per round
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
