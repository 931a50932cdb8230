// The multiply-add loop of one instruction set, compiled with its options.
#include "bench/machine/fma_loop.h"
#include "kernels/cpu/vector/avx512.h"

namespace apam::bench {

FmaLoop avx512_fma_loop() { return fma_loop<kernels::cpu::Avx512>(); }

}  // namespace apam::bench
