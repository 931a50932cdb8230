// Cuts the flat gradients into buckets and says when each may leave.
//
// A bucket is a contiguous range of whole parameter windows, of about the wanted size (a larger parameter is a bucket of its
// own). Backward finishes the last layers first, so buckets are numbered from the end of the flat vector, and leave strictly
// in that order: every rank then starts the same sums in the same order, whatever the order in which its gradients finish.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/parameters.h"

namespace apam::exchange {

/// Floats [offset, offset + count) of the gradients.
struct Bucket {
  std::size_t offset = 0, count = 0;
  int parameters = 0;  ///< whose gradients it holds
};

class BucketQueue {
 public:
  /// Throws InputError unless bucket_floats is positive.
  BucketQueue(const engine::ParameterLayout& layout, std::size_t bucket_floats);

  const std::vector<Bucket>& buckets() const { return buckets_; }  ///< in the order in which they leave

  /// Begins a new mini-batch: nothing is ready, nothing has left.
  void reset();

  /// Notes that a gradient is complete. Throws ExchangeError when it was noted before in this mini-batch.
  void ready(engine::ParameterId id);

  /// The next bucket that may leave, or null when it is not complete.
  const Bucket* take();

  /// The next bucket that has not left, complete or not, or null when all have: for parameters that had no gradient.
  const Bucket* take_any();

 private:
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;  // [parameter]
  std::vector<bool> noted_;             // [parameter]
  std::vector<int> missing_;            // [bucket] parameters not complete
  std::size_t next_ = 0;
};

}  // namespace apam::exchange
