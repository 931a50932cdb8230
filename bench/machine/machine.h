// Peak rates of the machine, measured at each call. The other benchmarks report their results as shares of these.
#pragma once

#include <string_view>
#include <vector>

namespace apam::bench {

struct FmaRate {
  std::string_view isa;  ///< "avx2", as in kernels/cpu/isa.h
  double gflops;         ///< 2 operations per lane and multiply-add
};

/// Multiply-adds on independent registers, on `threads` threads: the best of many short rounds, for each instruction set up to
/// the one in use (APAM_ISA can select a lower one than the processor supports). About 0.2 s per instruction set.
std::vector<FmaRate> fma_rates(int threads);

/// The highest of fma_rates(), in GFLOP/s: the upper bound of direct methods.
double fma_peak(int threads);

/// memcpy between two buffers far larger than any cache, split among `threads` threads. GB/s, counting bytes read and bytes
/// written; the best of several rounds.
double copy_bandwidth(int threads);

}  // namespace apam::bench
