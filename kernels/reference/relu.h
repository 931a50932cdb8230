// y = max(0, x), NaN where x is NaN;  dx = 0 where y <= 0, else dy.
#pragma once

#include <algorithm>

#include "kernels/ops/relu.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void relu_forward(const Relu::Problem& p, const T* x, T* y) {
  for (std::int64_t e = 0; e < p.size; ++e) y[e] = std::max(x[e], T(0));  // this order of arguments keeps NaN
}

template <class T>
void relu_backward(const Relu::Problem& p, const T* dy, const T* y, T* dx, Write write) {
  for (std::int64_t e = 0; e < p.size; ++e) assign(dx[e], y[e] <= 0 ? T(0) : dy[e], write);
}

}  // namespace apam::kernels::reference
