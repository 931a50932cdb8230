// A contribution that a policy makes from others, in memory of its own:
//
//   scaled       factor * g                      the batch statistics stay as they are
//   compensated  g + C g g (w_now - w_base)      the batch statistics stay as they are
//   mean         (1 / k) sum of k contributions  the batch statistics too
//
// Element by element, so the result does not depend on the number of threads. Computed on the host: of a master on a GPU all
// operands are copied there, and the result back.
#pragma once

#include <array>

#include "kernels/runtime/buffer.h"

namespace apam::exchange {

class ChangedGradient {
 public:
  /// `weights`: floats of a gradient, the first of the `size` floats of a contribution.
  /// `device`: of contributions, weights and results.
  ChangedGradient(Device device, std::size_t weights, std::size_t size, int threads);

  ConstSpan<float> scaled(ConstSpan<float> contribution, float factor);
  ConstSpan<float> compensated(ConstSpan<float> contribution, float factor, ConstSpan<float> now, ConstSpan<float> base);

  /// Adds to the sum, and returns how many it has.
  std::int64_t add(ConstSpan<float> contribution);
  /// The mean of the sum, which starts again. At least one contribution was added.
  ConstSpan<float> take_mean();

 private:
  std::span<const float> on_host(ConstSpan<float> values, std::size_t place);
  ConstSpan<float> result();

  std::size_t weights_;
  int threads_;
  Buffer memory_;                   // (size)
  Buffer on_gpu_;                   // (size), of a master on a GPU: the result
  std::array<Buffer, 3> operands_;  // of such a master: copies
  std::int64_t added_ = 0;
};

}  // namespace apam::exchange
