#include "engine/rounded_weights.h"

#include <utility>

#include "kernels/ops/kernel.h"

namespace apam::engine {

void RoundedWeights::refresh(Exec& exec, ConstSpan<float> weights) {
  if (values().empty() || std::exchange(current_, false)) return;
  using Convert = kernels::Convert;
  const Convert::Problem problem{static_cast<std::int64_t>(size_), DType::float32, DType::bfloat16};
  kernels::kernel<Convert>(exec, problem, Convert::Pass::forward)->forward(exec, weights, values());
}

}  // namespace apam::engine
