#include "apam/exchange/staged_all_reduce.h"

#include <functional>

#include "apam/exchange/error.h"
#include "apam/exchange/host_values.h"

namespace apam::exchange {

StagedAllReduce::StagedAllReduce(AllReduce& all_reduce, const Stream& steps, Span<float> contribution, Span<float> staged)
    : all_reduce_(all_reduce), steps_(steps), contribution_(contribution), staged_(staged) {
  require<ExchangeError>(contribution.size() == staged.size(), "staged all-reduce: {} floats for a contribution of {}",
                         staged.size(), contribution.size());
}

void StagedAllReduce::start(Span<float> values) {
  const float* const first = contribution_.data();
  const bool inside = std::greater_equal<>{}(values.data(), first) &&
                      std::less_equal<>{}(values.data() + values.size(), first + contribution_.size());
  require<ExchangeError>(inside, "staged all-reduce: {} floats outside the contribution of {}", values.size(),
                         contribution_.size());
  if (copying_ == parts_.size()) parts_.push_back({{}, {}, apam::Event(steps_.device())});
  Part& part = parts_[copying_++];
  part.values = values;
  part.staged = staged_.subspan(static_cast<std::size_t>(values.data() - first), values.size());
  copy(steps_, values, part.staged);
  part.copied.record(steps_);
}

void StagedAllReduce::start_sum() {
  parts_[summing_].copied.synchronize();
  all_reduce_.start(parts_[summing_++].staged);
}

void StagedAllReduce::progress() {
  while (summing_ < copying_ && parts_[summing_].copied.done()) start_sum();
  all_reduce_.progress();
}

void StagedAllReduce::finish() {
  while (summing_ < copying_) {
    start_sum();
    all_reduce_.progress();
  }
  all_reduce_.finish();
  for (std::size_t i = 0; i < summing_; ++i) copy(steps_, all_reduce_.sums(parts_[i].staged), parts_[i].values);
  copying_ = summing_ = 0;
}

void StagedAllReduce::broadcast(Span<float> values) {
  std::vector<float> host = host_values(values);
  all_reduce_.broadcast(std::span(host));
  copy(ConstSpan<float>(std::span(host)), values);
}

}  // namespace apam::exchange
