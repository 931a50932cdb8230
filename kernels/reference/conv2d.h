// 2-D convolution by its definition:
//   y[n,i,j,k]  = sum over r,s,c of x[n, i*stride + r - padding, j*stride + s - padding, c] * w[k,r,s,c]
// By the chain rule, each product x * w in a sum adds dy * w to dx and dy * x to dw.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/ops/conv2d.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

/// Calls visit(tap, pixel) for the taps r*S + s of the window at output (i, j) that meet a pixel row*W + column.
template <class Visit>
void for_window(const Conv2d::Problem& p, int i, int j, Visit visit) {
  for (int r = 0; r < p.r; ++r) {
    for (int s = 0; s < p.s; ++s) {
      const int row = i * p.stride + r - p.padding;
      const int column = j * p.stride + s - p.padding;
      if (row < 0 || row >= p.h || column < 0 || column >= p.w) continue;  // padding reads as zero
      visit(r * p.s + s, row * p.w + column);
    }
  }
}

template <class T>
void conv2d_forward(const Conv2d::Problem& p, const T* x, const T* w, T* y) {
  const std::size_t image = std::size_t(p.h) * p.w * p.c, filter = std::size_t(p.r) * p.s * p.c;
  for (int n = 0; n < p.n; ++n) {
    for (int k = 0; k < p.k; ++k) {
      for (int i = 0; i < p.out_h(); ++i) {
        for (int j = 0; j < p.out_w(); ++j) {
          double sum = 0;
          for_window(p, i, j, [&](int tap, int pixel) {
            const T* xs = x + n * image + std::size_t(pixel) * p.c;  // (C)
            const T* ws = w + k * filter + std::size_t(tap) * p.c;   // (C)
            for (int c = 0; c < p.c; ++c) sum += double(xs[c]) * ws[c];
          });
          y[((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.k + k] = static_cast<T>(sum);
        }
      }
    }
  }
}

template <class T>
void conv2d_backward_input(const Conv2d::Problem& p, const T* dy, const T* w, T* dx, Write write) {
  const std::size_t image = std::size_t(p.h) * p.w * p.c, filter = std::size_t(p.r) * p.s * p.c;
  std::vector<double> sums(image);  // (H, W, C) of one image
  for (int n = 0; n < p.n; ++n) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int k = 0; k < p.k; ++k) {
      for (int i = 0; i < p.out_h(); ++i) {
        for (int j = 0; j < p.out_w(); ++j) {
          const double g = dy[((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.k + k];
          for_window(p, i, j, [&](int tap, int pixel) {
            double* dxs = sums.data() + std::size_t(pixel) * p.c;   // (C)
            const T* ws = w + k * filter + std::size_t(tap) * p.c;  // (C)
            for (int c = 0; c < p.c; ++c) dxs[c] += g * ws[c];
          });
        }
      }
    }
    for (std::size_t e = 0; e < image; ++e) assign(dx[n * image + e], sums[e], write);
  }
}

template <class T>
void conv2d_backward_weight(const Conv2d::Problem& p, const T* x, const T* dy, T* dw, Write write) {
  const std::size_t image = std::size_t(p.h) * p.w * p.c, filter = std::size_t(p.r) * p.s * p.c;
  std::vector<double> sums(filter);  // (R, S, C) of one filter
  for (int k = 0; k < p.k; ++k) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int n = 0; n < p.n; ++n) {
      for (int i = 0; i < p.out_h(); ++i) {
        for (int j = 0; j < p.out_w(); ++j) {
          const double g = dy[((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.k + k];
          for_window(p, i, j, [&](int tap, int pixel) {
            const T* xs = x + n * image + std::size_t(pixel) * p.c;  // (C)
            double* dws = sums.data() + std::size_t(tap) * p.c;      // (C)
            for (int c = 0; c < p.c; ++c) dws[c] += g * xs[c];
          });
        }
      }
    }
    for (std::size_t e = 0; e < filter; ++e) assign(dw[k * filter + e], sums[e], write);
  }
}

}  // namespace apam::kernels::reference
