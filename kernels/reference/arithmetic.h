// Shared by the naive loops, which are templated on the scalar T of their operands: double is the reference for every other
// provider, float is the fallback provider. Both sum in double.
#pragma once

#include "kernels/ops/operation.h"

namespace apam::kernels::reference {

/// slot = value, or slot += value.
template <class T>
void assign(T& slot, double value, Write write) {
  slot = static_cast<T>(write == Write::add ? slot + value : value);
}

}  // namespace apam::kernels::reference
