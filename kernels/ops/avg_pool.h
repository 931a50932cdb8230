// Average pooling with a square window and a stride of the same size; rows and columns that do not fill a window are dropped.
//   y[n,p,q,c] = mean over i,j < window of x[n, p*window + i, q*window + j, c];   dx is dy / window^2 of its window, 0 outside
//   all windows.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct AvgPool {
  static constexpr std::string_view name = "avg_pool";

  struct Problem {
    int n, h, w, c;  ///< x: (N, H, W, C)
    int window;
    DType type = DType::float32;

    int out_h() const { return h / window; }
    int out_w() const { return w / window; }
    std::size_t x_size() const { return std::size_t(n) * h * w * c; }
    std::size_t y_size() const { return std::size_t(n) * out_h() * out_w() * c; }
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward, backward };
  static constexpr std::array<std::string_view, 2> pass_names{"forward", "backward"};

  /// A function throws KernelError if the kernel was made for another pass.
  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void forward(Exec&, In x, Out y);
    virtual void backward(Exec&, In dy, Out dx, Write);
  };
};

}  // namespace apam::kernels
