// y = factor * x.
#pragma once

#include "kernels/ops/scale.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void scale_forward(const Scale::Problem& p, const T* x, T* y) {
  for (std::int64_t e = 0; e < p.size; ++e) y[e] = p.factor * x[e];
}

}  // namespace apam::kernels::reference
