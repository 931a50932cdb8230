// Operands for which every result of a convolution is known exactly, in any order of its sums: at most one product of
// each sum is not zero. A plan that gets one of them wrong computes something else than sums of products that are rounded once.
//
//   products   (1 + 2^-7) * (1 + 2^-7) * 2^e = (1 + 2^-6 + 2^-14) * 2^e, where e is -30, 0 or 30, and differs between pixels
//              next to each other. Engines that transform operands (Winograd, FFT) add such neighbours, and lose the small one.
//   old        -(1 + 2^-6) * 2^e. Rounded once, the sum is 2^-14 * 2^e; if the product is first rounded to bfloat16, it is 0.
//
// cuDNN's notes on engines do not tell either: an engine for float32 weight gradients has errors of several hundred units in
// the last place for sums of 512 products, and several engines with beta = 1 round bfloat16 results twice.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/ops/conv2d.h"

namespace apam::kernels::cudnn {

struct Trial {
  /// An operand of a graph in memory: all of its `size` bytes, or its first and its last image, with zeros between them.
  struct Values {
    int id;
    std::vector<std::byte> bytes;
    std::size_t size;

    bool whole() const { return bytes.size() == size; }
  };
  std::vector<Values> operands;     ///< including the result: its old values, or zeros
  int result = 0;                   ///< id
  DType type = DType::float32;      ///< of the result
  std::vector<std::byte> expected;  ///< the result, the same part of it

  /// Whether a result equals `expected`; zeros of either sign are equal.
  bool right(const std::vector<std::byte>& actual) const;
};

/// What a graph of a convolution computes.
struct TrialOf {
  enum class Old : std::uint8_t { none, in_result, separate };

  DType operands = DType::float32, result = DType::float32;
  Old old = Old::none;  ///< separate: kOld is added
};

/// The trial of a pass; ids are those of kernels/cudnn/steps.h.
Trial trial(const Conv2d::Problem&, Conv2d::Pass, const TrialOf&);

}  // namespace apam::kernels::cudnn
