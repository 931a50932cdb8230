// The table of one instruction set: all vector kernels, instantiated with the vector type V.
#pragma once

#include "kernels/cpu/vector/batch_norm.h"
#include "kernels/cpu/vector/gemm.h"
#include "kernels/cpu/vector/optimizer.h"
#include "kernels/cpu/vector/pointwise.h"
#include "kernels/cpu/vector/pool.h"
#include "kernels/cpu/vector/transpose.h"
#include "kernels/cpu/vector/winograd.h"

namespace apam::kernels::cpu {

template <class V>
constexpr Isa isa_table() {
  return {V::name,
          V::width,
          V::streams,
          V::store_fence,
          pointwise_kernels<V>(),
          optimizer_kernels<V>(),
          batch_norm_kernels<V>(),
          pool_kernels<V>(),
          gemm_kernels<V>(typename V::Tiles()),
          winograd_table<V>(),
          transpose<V>};
}

}  // namespace apam::kernels::cpu
