// y = a + b. y may be a or b: gradients of a value that is used twice are summed in place.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct Add {
  static constexpr std::string_view name = "add";

  struct Problem {
    std::int64_t size;
    DType type = DType::float32;
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { forward };
  static constexpr std::array<std::string_view, 1> pass_names{"forward"};

  class Kernel {
   public:
    virtual ~Kernel() = default;
    virtual void forward(Exec&, In a, In b, Out y) = 0;
  };
};

}  // namespace apam::kernels
