// Cuts the flat gradients into buckets and tracks when each may be sent.
//
// A bucket is a contiguous range of whole parameters, of about the requested size; a larger parameter is its own bucket.
// Backward finishes the last layers first, so buckets are numbered from the end of the flat vector. They are sent strictly in
// that order: every rank starts the same sums in the same order, regardless of the order in which its gradients finish.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/parameters.h"

namespace apam::exchange {

/// Floats [offset, offset + count) of the gradients.
struct Bucket {
  std::size_t offset = 0, count = 0;
  int parameters = 0;  ///< number of parameters in it
};

class BucketQueue {
 public:
  /// Throws InputError unless bucket_floats is positive.
  BucketQueue(const engine::ParameterLayout& layout, std::size_t bucket_floats);

  const std::vector<Bucket>& buckets() const { return buckets_; }  ///< in sending order

  /// Begins a new mini-batch: nothing is ready, nothing is sent.
  void reset();

  /// Marks a gradient as complete. Throws ExchangeError if it already is in this mini-batch.
  void ready(engine::ParameterId id);

  /// The next bucket, or null if it is not complete or all are taken.
  const Bucket* take();

  /// The next bucket, complete or not, or null if all are taken. For parameters without a gradient.
  const Bucket* take_any();

 private:
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;  // [parameter]
  std::vector<bool> complete_;          // [parameter]
  std::vector<int> missing_;            // [bucket] incomplete parameters
  std::size_t next_ = 0;
};

}  // namespace apam::exchange
