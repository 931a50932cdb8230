#include "kernels/ops/add.h"

namespace apam::kernels {

std::string Add::Problem::describe() const { return fmt::format("{}{}", size, suffix(type)); }

}  // namespace apam::kernels
