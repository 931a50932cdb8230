// The loop that does nothing but multiply-adds, once for each instruction set; fma_loops_*.cpp list those of a processor.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace apam::bench {

struct FmaLoop {
  std::string_view isa;
  /// Does `rounds` rounds and leaves something that depends on all of them in `result` (16 floats).
  void (*run)(std::int64_t rounds, float* result);
  double flops;  ///< of one round
};

FmaLoop portable_fma_loop();
FmaLoop avx2_fma_loop();
FmaLoop avx512_fma_loop();

/// Those of this build; the processor need not be able to run them all.
std::span<const FmaLoop> fma_loops();

}  // namespace apam::bench
