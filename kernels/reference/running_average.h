// running += momentum * (batch - running).
#pragma once

#include "kernels/ops/running_average.h"
#include "kernels/reference/arithmetic.h"

namespace apam::kernels::reference {

template <class T>
void running_average(const RunningAverage::Problem& p, double momentum, const T* batch, T* running) {
  for (std::int64_t e = 0; e < p.size; ++e) running[e] = static_cast<T>(running[e] + momentum * (batch[e] - running[e]));
}

}  // namespace apam::kernels::reference
