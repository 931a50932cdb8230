// y = a + b.
#pragma once

#include "kernels/ops/add.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void add_forward(const Add::Problem& p, const T* a, const T* b, T* y) {
  for (std::int64_t e = 0; e < p.size; ++e) y[e] = a[e] + b[e];
}

}  // namespace apam::kernels::reference
