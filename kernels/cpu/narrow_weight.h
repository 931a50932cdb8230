// Weight gradient of a convolution with small filters, such as a net's first layer (3 x 3 x 3 floats):
//   dw[k, j] (+)= sum over output pixels p of x_j[p] * dy[p, k]
// Weight j = (r, s, c) reads one float x_j per output pixel, at a stride of stride * C floats along a line of the image. Only
// these lines are copied, with zeros around them. dy is read in place, in panels of output channels. The sum is accumulated
// transposed, (j, k), and transposed back at the end.
//
// A strip is a few output lines of an image, and a work item is a chunk of strips. Each chunk has its own copy of the sum, and
// the copies are added in order. The number of chunks depends only on the problem, so the result does not depend on the number
// of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/ops/conv2d.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/workspace_plan.h"

namespace apam::kernels::cpu {

class NarrowWeight {
 public:
  /// Filters with few weights, and output channels that are a multiple of the vector width.
  static bool supports(const Conv2d::Problem& problem, const Isa& isa);

  NarrowWeight(Exec& exec, const Conv2d::Problem& problem, const Isa& isa);

  void run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const;

 private:
  struct Operands {
    const float* x;
    const float* dy;
    std::byte* workspace;
  };

  void sum_chunk(std::int64_t chunk, const Operands& operands, int thread) const;
  void copy_lines(const float* image, int first, int count, float* to) const;

  Conv2d::Problem problem_;
  const Isa& isa_;
  std::int64_t columns_;  // weights per filter
  std::int64_t line_;     // floats per input line, padding included
  int strip_lines_;
  std::int64_t strips_;  // per image
  std::int64_t chunks_;
  WorkspacePlan workspace_;
  Region<float> sums_;                        // (chunks, columns, k)
  std::vector<Region<float>> lines_;          // per thread: the input lines of a strip
  std::vector<Region<const float*>> starts_;  // per thread: (columns), x_j of the strip's first pixel
};

}  // namespace apam::kernels::cpu
