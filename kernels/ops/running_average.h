// Running average of batch norm's statistics, in place:  running += momentum * (batch - running).
// Elements are independent: the result is the same for any number of threads.
#pragma once

#include <array>
#include <compare>

#include "kernels/ops/first_non_finite.h"
#include "kernels/ops/operation.h"

namespace apam::kernels {

struct RunningAverage {
  static constexpr std::string_view name = "running_average";

  struct Problem {
    std::int64_t size;
    std::string describe() const;
    friend auto operator<=>(const Problem&, const Problem&) = default;
  };

  enum class Pass : std::uint8_t { update };
  static constexpr std::array<std::string_view, 1> pass_names{"update"};

  class Kernel {
   public:
    virtual ~Kernel() = default;
    /// `non_finite`: of the new values of `running`.
    virtual void update(Exec&, float momentum, ConstSpan<float> batch, Span<float> running, FirstNonFinite non_finite) = 0;
  };
};

}  // namespace apam::kernels
