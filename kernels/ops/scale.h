// y = factor * x. y may be x. The gradient is the same operation on dy.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct Scale {
  static constexpr std::string_view name = "scale";

  struct Problem {
    std::int64_t size;
    float factor;
    DType type = DType::float32;
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward };
  static constexpr std::array<std::string_view, 1> pass_names{"forward"};

  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void forward(Exec&, In x, Out y) = 0;
  };
};

}  // namespace apam::kernels
