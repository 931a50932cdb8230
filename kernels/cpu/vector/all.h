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

template <class V, class T>
constexpr ActivationKernels<T> activation_kernels() {
  return with_winograd<V, T>({pointwise_kernels<V, T>(), batch_norm_kernels<V, T>(), pool_kernels<V, T>(), {}});
}

template <class V>
constexpr Isa isa_table() {
  return with_winograd_filters<V>({V::name,
                                   V::width,
                                   V::fused,
                                   V::streams,
                                   V::store_fence,
                                   activation_kernels<V, float>(),
                                   activation_kernels<V, Bits16>(),
                                   optimizer_kernels<V>(),
                                   gemm_kernels<V>(typename V::Tiles()),
                                   {},
                                   transpose<V>});
}

}  // namespace apam::kernels::cpu
