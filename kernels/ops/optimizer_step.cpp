#include "kernels/ops/optimizer_step.h"

namespace apam::kernels {

std::string OptimizerStep::Problem::describe() const {
  const std::string several = gradients == 1 ? "" : fmt::format(", {} gradients", gradients);
  return fmt::format("{} of {}{}", rule_names[static_cast<std::size_t>(rule)], size, several);
}

}  // namespace apam::kernels
