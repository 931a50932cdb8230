// y[n,i,j,c] = mean over a, b < window of x[n, i*window + a, j*window + b, c];  dx is dy / window^2 of the pixel's window, 0
// for pixels outside all windows.
#pragma once

#include "kernels/ops/avg_pool.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void avg_pool_forward(const AvgPool::Problem& p, const T* x, T* y) {
  for (int n = 0; n < p.n; ++n) {
    for (int i = 0; i < p.out_h(); ++i) {
      for (int j = 0; j < p.out_w(); ++j) {
        for (int c = 0; c < p.c; ++c) {
          double sum = 0;
          for (int row = i * p.window; row < (i + 1) * p.window; ++row) {
            for (int column = j * p.window; column < (j + 1) * p.window; ++column) {
              sum += x[((std::size_t(n) * p.h + row) * p.w + column) * p.c + c];
            }
          }
          y[((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.c + c] = static_cast<T>(sum / (p.window * p.window));
        }
      }
    }
  }
}

template <class T>
void avg_pool_backward(const AvgPool::Problem& p, const T* dy, T* dx, Write write) {
  for (int n = 0; n < p.n; ++n) {
    for (int row = 0; row < p.h; ++row) {
      for (int column = 0; column < p.w; ++column) {
        const int i = row / p.window, j = column / p.window;
        const bool inside = i < p.out_h() && j < p.out_w();
        for (int c = 0; c < p.c; ++c) {
          const double g = inside ? dy[((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.c + c] : T(0);
          assign(dx[((std::size_t(n) * p.h + row) * p.w + column) * p.c + c], g / (p.window * p.window), write);
        }
      }
    }
  }
}

}  // namespace apam::kernels::reference
