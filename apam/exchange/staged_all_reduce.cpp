#include "apam/exchange/staged_all_reduce.h"

#include <functional>

#include "apam/exchange/error.h"

namespace apam::exchange {

StagedAllReduce::StagedAllReduce(AllReduce& all_reduce, const Stream& steps, Span<float> contribution, Span<float> staged)
    : all_reduce_(all_reduce), steps_(steps), contribution_(contribution), staged_(staged) {
  require<ExchangeError>(contribution.size() == staged.size(), "staged all-reduce: {} floats for a contribution of {}",
                         staged.size(), contribution.size());
}

void StagedAllReduce::start_scaled(Span<float> values, float factor) {
  const float* const first = contribution_.data();
  const bool inside = std::greater_equal<>{}(values.data(), first) &&
                      std::less_equal<>{}(values.data() + values.size(), first + contribution_.size());
  require<ExchangeError>(inside, "staged all-reduce: {} floats outside the contribution of {}", values.size(),
                         contribution_.size());
  if (copying_ == parts_.size()) parts_.push_back({{}, {}, 1, apam::Event(steps_.device())});
  Part& part = parts_[copying_++];
  part.values = values;
  part.staged = staged_.subspan(static_cast<std::size_t>(values.data() - first), values.size());
  part.factor = factor;
  copy(steps_, values, part.staged);
  part.copied.record(steps_);
}

/// Of all parts, each when it has been copied.
void StagedAllReduce::start_sums() {
  for (; summing_ < copying_; ++summing_) {
    const Part& part = parts_[summing_];
    part.copied.synchronize();
    part.factor == 1.0F ? all_reduce_.start(part.staged) : all_reduce_.start_scaled(part.staged, part.factor);
    all_reduce_.progress();
  }
}

void StagedAllReduce::sum(std::span<double> values) {
  start_sums();
  all_reduce_.sum(values);
}

void StagedAllReduce::finish() {
  start_sums();
  all_reduce_.finish();
  for (std::size_t i = 0; i < summing_; ++i) copy(steps_, all_reduce_.sums(parts_[i].staged), parts_[i].values);
  copying_ = summing_ = 0;
}

void StagedAllReduce::broadcast(Span<float> values) {
  require<ExchangeError>(values.size() <= staged_.size(), "staged all-reduce: a broadcast of {} floats, expected at most {}",
                         values.size(), staged_.size());
  const Span<float> staged = staged_.subspan(0, values.size());
  copy(values, staged);
  all_reduce_.broadcast(staged);
  copy(staged, values);
}

}  // namespace apam::exchange
