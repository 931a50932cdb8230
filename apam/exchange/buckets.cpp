#include "apam/exchange/buckets.h"

#include "apam/exchange/error.h"

namespace apam::exchange {

BucketQueue::BucketQueue(const engine::ParameterLayout& layout, std::size_t bucket_floats) {
  require<InputError>(bucket_floats > 0, "buckets: the size must be above 0, got {}", bucket_floats);
  const auto& parameters = layout.parameters();
  bucket_of_.resize(parameters.size());
  std::size_t end = layout.weights_size();
  for (std::size_t i = parameters.size(); i-- > 0;) {
    const std::size_t begin = parameters[i].offset;
    const bool fits = !buckets_.empty() && buckets_.back().count + (end - begin) <= bucket_floats;
    if (!fits) buckets_.push_back({end, 0, 0});
    Bucket& bucket = buckets_.back();
    bucket.count += bucket.offset - begin;
    bucket.offset = begin;
    ++bucket.parameters;
    bucket_of_[i] = buckets_.size() - 1;
    end = begin;
  }
  reset();
}

void BucketQueue::reset() {
  complete_.assign(bucket_of_.size(), false);
  missing_.resize(buckets_.size());
  for (std::size_t i = 0; i < buckets_.size(); ++i) missing_[i] = buckets_[i].parameters;
  next_ = 0;
}

void BucketQueue::ready(engine::ParameterId id) {
  const auto index = static_cast<std::size_t>(id.index);
  require<ExchangeError>(index < complete_.size(), "buckets: parameter {} of {} is ready", id.index, complete_.size());
  require<ExchangeError>(!complete_[index], "buckets: the gradient of parameter {} is already complete", id.index);
  complete_[index] = true;
  --missing_[bucket_of_[index]];
}

const Bucket* BucketQueue::take() {
  if (next_ == buckets_.size() || missing_[next_] > 0) return nullptr;
  return &buckets_[next_++];
}

const Bucket* BucketQueue::take_any() { return next_ == buckets_.size() ? nullptr : &buckets_[next_++]; }

}  // namespace apam::exchange
