#include "kernels/ops/running_average.h"

namespace apam::kernels {

std::string RunningAverage::Problem::describe() const { return fmt::format("{}", size); }

}  // namespace apam::kernels
