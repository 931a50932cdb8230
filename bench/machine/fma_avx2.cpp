// The multiply-add loop of one instruction set, compiled with its options.
#include "bench/machine/fma_loop.h"
#include "kernels/cpu/vector/avx2.h"

namespace apam::bench {

FmaLoop avx2_fma_loop() { return fma_loop<kernels::cpu::Avx2>(); }

}  // namespace apam::bench
