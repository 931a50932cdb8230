// Fully connected layer; with bfloat16, w is rounded, b is not:
//   y[i,k] = b[k] + sum_c x[i,c] * w[k,c];   dx = dy w;   dw[k,c] = sum_i dy[i,k] x[i,c];   db[k] = sum_i dy[i,k]
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"
#include "kernels/ops/weights.h"

namespace apam::kernels {

struct Linear {
  static constexpr std::string_view name = "linear";

  struct Problem {
    int n;                        ///< rows of x (N, C) and y (N, K)
    int c, k;                     ///< w: (K, C), b: (K)
    DType type = DType::float32;  ///< of x, y, dx and dy; weights, biases and their gradients are float32

    double flops() const { return 2.0 * n * c * k; }
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward, backward_input, backward_weight };
  static constexpr std::array<std::string_view, 3> pass_names{"forward", "backward_input", "backward_weight"};

  /// A function throws KernelError if the kernel was made for another pass.
  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void forward(Exec&, In x, const Weights& w, ConstSpan<float> b, Out y);
    virtual void backward_input(Exec&, In dy, const Weights& w, Out dx, Write);
    virtual void backward_weight(Exec&, In x, In dy, Span<float> dw, Span<float> db, Write);
  };
};

}  // namespace apam::kernels
