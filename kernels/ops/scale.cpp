#include "kernels/ops/scale.h"

namespace apam::kernels {

std::string Scale::Problem::describe() const { return fmt::format("{} by {}{}", size, factor, suffix(type)); }

}  // namespace apam::kernels
