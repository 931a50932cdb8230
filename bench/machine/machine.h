// What the machine can do at most, measured when it is asked: the yardsticks of the other benchmarks.
#pragma once

#include <string_view>
#include <vector>

namespace apam::bench {

struct FmaRate {
  std::string_view isa;  ///< "avx2", as in kernels/cpu/isa.h
  double gflops;         ///< 2 operations for each lane of a multiply-add
};

/// Multiply-adds on independent registers, on all `threads` at once: the best of many short rounds, for each instruction
/// set up to the one in use (APAM_ISA may name a lesser one than the processor runs). Takes about 0.2 s each.
std::vector<FmaRate> fma_rates(int threads);

/// The highest of fma_rates(), in GFLOP/s: what direct methods cannot pass.
double fma_peak(int threads);

/// memcpy between two buffers far larger than any cache, each thread its part; GB/s, read and written bytes both counted.
/// The best of several rounds.
double copy_bandwidth(int threads);

}  // namespace apam::bench
