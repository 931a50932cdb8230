// Problems in words, for reports, benchmarks and error messages.
#include "kernels/ops/all.h"

namespace apam::kernels {

std::string Conv2d::Problem::describe() const {
  return fmt::format("{}x{}x{}x{} -> {}, {}x{}, stride {}, padding {}", n, h, w, c, k, r, s, stride, padding);
}

std::string BatchNorm::Problem::describe() const {
  return fmt::format("{}x{}{}{}", rows, c, residual ? " + residual" : "", relu ? ", relu" : "");
}

std::string Relu::Problem::describe() const { return fmt::format("{}", size); }

std::string Add::Problem::describe() const { return fmt::format("{}", size); }

std::string Scale::Problem::describe() const { return fmt::format("{} by {}", size, factor); }

std::string AvgPool::Problem::describe() const { return fmt::format("{}x{}x{}x{}, window {}", n, h, w, c, window); }

std::string Linear::Problem::describe() const { return fmt::format("{}x{} -> {}", n, c, k); }

std::string SoftmaxCrossEntropy::Problem::describe() const { return fmt::format("{}x{}", n, classes); }

std::string OptimizerStep::Problem::describe() const {
  constexpr std::array<std::string_view, 3> names{"sgd", "adam", "amsgrad"};
  return fmt::format("{} of {}", names[static_cast<std::size_t>(rule)], size);
}

std::string RunningAverage::Problem::describe() const { return fmt::format("{}", size); }

}  // namespace apam::kernels
