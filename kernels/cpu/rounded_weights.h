// Weights rounded to bfloat16, for products with activations in bfloat16.
#pragma once

#include "kernels/cpu/make.h"
#include "kernels/runtime/dtype.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

inline void round_weights(Exec& exec, const float* weights, std::int64_t size, float* to) {
  parallel_for(exec.threads(), size, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t e = begin; e < end; ++e) to[e] = BFloat16(weights[e]);
  });
}

}  // namespace apam::kernels::cpu
