// What the naive loops share. They are templated on the scalar T of their operands: double is what every provider is
// checked against, float is the provider of last resort. Sums are kept in double in both.
#pragma once

#include "kernels/ops/operation.h"

namespace apam::kernels::reference {

/// slot = value, or slot += value.
template <class T>
void assign(T& slot, double value, Write write) {
  slot = static_cast<T>(write == Write::add ? slot + value : value);
}

}  // namespace apam::kernels::reference
