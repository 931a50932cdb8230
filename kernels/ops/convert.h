// y = x in another type: float32 or bfloat16. To bfloat16 it rounds to nearest, ties to even; to float32 it is exact.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/operation.h"

namespace apam::kernels {

struct Convert {
  static constexpr std::string_view name = "convert";

  struct Problem {
    std::int64_t size;
    DType from, to;
    std::string describe() const;  ///< "3072 from float32 to bfloat16"
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
