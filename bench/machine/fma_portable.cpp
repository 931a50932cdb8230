// The multiply-add loop of one instruction set, compiled with its options.
#include "bench/machine/fma_loop.h"
#include "kernels/cpu/vector/portable.h"

namespace apam::bench {

FmaLoop portable_fma_loop() { return fma_loop<kernels::cpu::Portable>(); }

}  // namespace apam::bench
