#include "kernels/ops/optimizer_step.h"

namespace apam::kernels {

std::string OptimizerStep::Problem::describe() const {
  constexpr std::array<std::string_view, 3> names{"sgd", "adam", "amsgrad"};
  const std::string several = gradients == 1 ? "" : fmt::format(", {} gradients", gradients);
  return fmt::format("{} of {}{}", names[static_cast<std::size_t>(rule)], size, several);
}

}  // namespace apam::kernels
