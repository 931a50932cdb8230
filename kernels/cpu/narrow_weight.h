// The weight gradient of a convolution whose filters are small, as those of a net's first layer (3 x 3 x 3 floats) are:
//   dw[k, j] (+)= sum over output pixels p of x_j[p] * dy[p, k]
// Weight j = (r, s, c) meets the floats x_j, one a pixel: from one output pixel to the next they lie stride * C floats apart
// in a line of the image. Nothing but these lines is copied, with zeros around them. dy is read where it lies, in panels of
// output channels; the sum comes out turned, (j, k), and is turned back at the end.
//
// A strip is some output lines of an image. An item of work is a chunk of strips; chunks are summed apart, each into a copy of
// its own, and the copies are added in order. How many there are depends on the problem alone, so the result does not depend
// on the number of threads.
#pragma once

#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/workspace_plan.h"
#include "kernels/ops/conv2d.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

class NarrowWeight {
 public:
  /// Few enough weights in a filter, and output channels in whole vectors.
  static bool can(const Conv2d::Problem& problem, const Isa& isa);

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
  std::int64_t columns_;  // weights in a filter
  std::int64_t line_;     // floats of an input line with zeros on both sides
  int strip_lines_;
  std::int64_t strips_;  // of an image
  std::int64_t chunks_;
  WorkspacePlan workspace_;
  Region<float> sums_;                        // (chunks, columns, k)
  std::vector<Region<float>> lines_;          // each thread's: the input lines that a strip meets
  std::vector<Region<const float*>> starts_;  // each thread's: (columns), x_j of the strip's first pixel
};

}  // namespace apam::kernels::cpu
