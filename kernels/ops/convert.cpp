#include "kernels/ops/convert.h"

namespace apam::kernels {

std::string Convert::Problem::describe() const { return fmt::format("{} from {} to {}", size, to_string(from), to_string(to)); }

}  // namespace apam::kernels
