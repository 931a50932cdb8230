// Batch normalisation over rows, per channel (Ioffe, Szegedy 2015), with optional fused residual and ReLU:
//   y[i,c] = act( gamma[c] * (x[i,c] - mean[c]) * inv_std[c] + beta[c]  (+ residual[i,c]) )
//   act = identity, or max(0, .), which keeps NaN
// Training: mean and biased variance of the batch, inv_std = 1 / sqrt(variance + eps); the unbiased variance is returned for
// the running statistics. Inference: running statistics. A channel whose variance is not a finite float32 gets inv_std and y of
// NaN (the limit, y = beta, would hide that the net has diverged). With g = dy, but 0 for a ReLU with y <= 0:
//   d_residual = g,  dbeta = sum_i g,  dgamma = sum_i g * xhat,  xhat = (x - mean) * inv_std
//   dx = gamma * inv_std * (g - dbeta / rows - xhat * dgamma / rows)
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct BatchNorm {
  static constexpr std::string_view name = "batch_norm";

  struct Problem {
    int rows;  ///< N * H * W
    int c;
    bool residual = false;  ///< add a second input before the activation
    bool relu = false;
    float eps = 1e-5F;
    DType type = DType::float32;  ///< of (rows, C) operands; those of (C) are float32

    std::size_t size() const { return std::size_t(rows) * c; }
    std::string describe() const;  ///< "81920x64 + residual, relu"
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward_training, forward_inference, backward };
  static constexpr std::array<std::string_view, 3> pass_names{"forward_training", "forward_inference", "backward"};

  /// Outputs of a training forward pass besides y, each (C).
  struct BatchStatistics {
    Span<float> mean;
    Span<float> variance;  ///< unbiased: divided by rows - 1 (by 1 when rows is 1); feeds the running variance
    Span<float> inv_std;   ///< from the biased variance; feeds backward
  };
  /// What backward reads of the forward pass. `y` is empty unless relu.
  struct Saved {
    In x;                      // (rows, C)
    In y;                      // (rows, C)
    ConstSpan<float> mean;     // (C)
    ConstSpan<float> inv_std;  // (C)
  };
  /// What backward writes. dx may be dy if it is overwritten. `d_residual` is empty unless the problem has a residual. dx and
  /// d_residual follow `write_x` and `write_residual`; dgamma and dbeta follow `write_parameters`.
  struct Gradients {
    Out dx;              // (rows, C)
    Out d_residual;      // (rows, C)
    Span<float> dgamma;  // (C)
    Span<float> dbeta;   // (C)
    Write write_x = Write::overwrite;
    Write write_residual = Write::overwrite;
    Write write_parameters = Write::overwrite;
  };

  /// A function throws KernelError if the kernel was made for another pass.
  class Kernel {
   public:
    virtual ~Kernel() = default;
    /// `residual` is empty unless the problem has one; y may not alias x.
    virtual void forward_training(Exec&, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta, Out y,
                                  const BatchStatistics&);
    virtual void forward_inference(Exec&, In x, In residual, ConstSpan<float> gamma, ConstSpan<float> beta,
                                   ConstSpan<float> running_mean, ConstSpan<float> running_variance, Out y);
    virtual void backward(Exec&, In dy, const Saved&, ConstSpan<float> gamma, const Gradients&);
  };
};

}  // namespace apam::kernels
