// y = x; the operands' memory has the types.
#pragma once

#include "kernels/ops/convert.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void convert_forward(const Convert::Problem& p, const T* x, T* y) {
  for (std::int64_t e = 0; e < p.size; ++e) y[e] = x[e];
}

}  // namespace apam::kernels::reference
