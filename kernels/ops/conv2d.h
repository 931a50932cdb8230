// 2-D convolution (cross-correlation), no bias, groups 1, dilation 1.
//   y[n,p,q,k]  = sum over r,s,c of x[n, p*stride + r - padding, q*stride + s - padding, c] * w[k,r,s,c]
//   dx[n,i,j,c] = sum over k,r,s with p*stride + r - padding = i, q*stride + s - padding = j of dy[n,p,q,k] * w[k,r,s,c]
//   dw[k,r,s,c] = sum over n,p,q of dy[n,p,q,k] * x[n, p*stride + r - padding, q*stride + s - padding, c]
// Reads outside x are zero.
//
// x, y, dx and dy have the problem's type; w and dw are float32. With bfloat16, w is rounded to bfloat16 before it is
// multiplied, sums are float32, and y and dx are rounded once.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"
#include "kernels/ops/weights.h"

namespace apam::kernels {

struct Conv2d {
  static constexpr std::string_view name = "conv2d";

  struct Problem {
    int n, h, w, c;  ///< x: (N, H, W, C)
    int k, r, s;     ///< w: (K, R, S, C)
    int stride = 1, padding = 0;
    DType type = DType::float32;  ///< of x, y, dx and dy

    int out_h() const { return (h + 2 * padding - r) / stride + 1; }
    int out_w() const { return (w + 2 * padding - s) / stride + 1; }
    std::size_t x_size() const { return std::size_t(n) * h * w * c; }
    std::size_t w_size() const { return std::size_t(k) * r * s * c; }
    std::size_t y_size() const { return std::size_t(n) * out_h() * out_w() * k; }  ///< y: (N, P, Q, K)
    /// Operations of any pass by the direct method: 2 per multiply-add, including padding.
    double flops() const { return 2.0 * double(y_size()) * r * s * c; }
    std::string describe() const;  ///< "80x32x32x64 -> 128, 3x3, stride 2, padding 1"
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward, backward_input, backward_weight };
  static constexpr std::array<std::string_view, 3> pass_names{"forward", "backward_input", "backward_weight"};

  /// A function throws KernelError if the kernel was made for another pass.
  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void forward(Exec&, In x, const Weights& w, Out y);
    virtual void backward_input(Exec&, In dy, const Weights& w, Out dx, Write);
    virtual void backward_weight(Exec&, In x, In dy, Span<float> dw, Write);
  };
};

}  // namespace apam::kernels
