// y = max(0, x), NaN where x is NaN;  dx = 0 where y <= 0, else dy: for y = NaN, dx = dy, as in PyTorch.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct Relu {
  static constexpr std::string_view name = "relu";

  struct Problem {
    std::int64_t size;
    DType type = DType::float32;
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
    virtual void backward(Exec&, In dy, In y, Out dx, Write);
  };
};

}  // namespace apam::kernels
