// y[i,k] = b[k] + sum_c x[i,c] * w[k,c];   dx[i,c] = sum_k dy[i,k] * w[k,c];   dw[k,c] = sum_i dy[i,k] * x[i,c];
// db[k] = sum_i dy[i,k].
#pragma once

#include "kernels/ops/linear.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void linear_forward(const Linear::Problem& p, const T* x, const T* w, const T* b, T* y) {
  for (int i = 0; i < p.n; ++i) {
    for (int k = 0; k < p.k; ++k) {
      double sum = b[k];
      for (int c = 0; c < p.c; ++c) sum += double(x[std::size_t(i) * p.c + c]) * w[std::size_t(k) * p.c + c];
      y[std::size_t(i) * p.k + k] = static_cast<T>(sum);
    }
  }
}

template <class T>
void linear_backward_input(const Linear::Problem& p, const T* dy, const T* w, T* dx, Write write) {
  for (int i = 0; i < p.n; ++i) {
    for (int c = 0; c < p.c; ++c) {
      double sum = 0;
      for (int k = 0; k < p.k; ++k) sum += double(dy[std::size_t(i) * p.k + k]) * w[std::size_t(k) * p.c + c];
      assign(dx[std::size_t(i) * p.c + c], sum, write);
    }
  }
}

template <class T>
void linear_backward_weight(const Linear::Problem& p, const T* x, const T* dy, T* dw, T* db, Write write) {
  for (int k = 0; k < p.k; ++k) {
    double db_sum = 0;
    for (int i = 0; i < p.n; ++i) db_sum += dy[std::size_t(i) * p.k + k];
    assign(db[k], db_sum, write);
    for (int c = 0; c < p.c; ++c) {
      double sum = 0;
      for (int i = 0; i < p.n; ++i) sum += double(dy[std::size_t(i) * p.k + k]) * x[std::size_t(i) * p.c + c];
      assign(dw[std::size_t(k) * p.c + c], sum, write);
    }
  }
}

}  // namespace apam::kernels::reference
