#include "apam/exchange/local/all_reduce.h"

#include <algorithm>

#include "apam/exchange/error.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/parallel.h"

namespace apam::exchange {

class ThreadsAllReduce::Rank final : public AllReduce {
 public:
  Rank(ThreadsAllReduce& group, int rank) : group_(group), rank_(rank) {}

  int rank() const override { return rank_; }
  int ranks() const override { return static_cast<int>(group_.ranks_.size()); }
  std::string_view name() const override { return "threads"; }

  void start(Span<float> values) override { started_.push_back(values.host()); }
  void progress() override {}

  void finish() override {
    group_.barrier();
    check_equal_sizes();
    for (std::size_t i = 0; i < started_.size(); ++i) add_part(i);
    group_.barrier();
    started_.clear();
  }

  void sum(std::span<double> values) override {
    doubles_ = values;
    group_.barrier();
    std::vector<double> sums(values.size(), 0.0);
    for (const auto& other : group_.ranks_) {
      require<ExchangeError>(other->doubles_.size() == sums.size(), "threads: rank {} sums {} numbers, rank {} sums {}", rank_,
                             sums.size(), other->rank_, other->doubles_.size());
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += other->doubles_[i];
    }
    group_.barrier();  // all have read
    std::copy(sums.begin(), sums.end(), values.begin());
  }

  std::vector<std::uint64_t> gather(std::uint64_t value) override {
    number_ = value;
    group_.barrier();
    std::vector<std::uint64_t> numbers;
    for (const auto& other : group_.ranks_) numbers.push_back(other->number_);
    group_.barrier();
    return numbers;
  }

  void broadcast(Span<float> values) override {
    started_.assign(1, values.host());
    group_.barrier();
    check_equal_sizes();
    if (rank_ != 0) copy(ConstSpan<float>(group_.ranks_[0]->started_[0]), values);
    group_.barrier();
    started_.clear();
  }

 private:
  void check_equal_sizes() const {
    const auto& first = group_.ranks_[0]->started_;
    require<ExchangeError>(started_.size() == first.size(), "threads: rank {} started {} sums, rank 0 started {}", rank_,
                           started_.size(), first.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
      require<ExchangeError>(started_[i].size() == first[i].size(), "threads: sum {} has {} elements on rank {}, {} on rank 0",
                             i, started_[i].size(), rank_, first[i].size());
    }
  }

  void add_part(std::size_t index) {
    const Range part = split(static_cast<std::int64_t>(started_[index].size()), rank_, ranks());
    for (auto i = static_cast<std::size_t>(part.begin); i < static_cast<std::size_t>(part.end); ++i) {
      float sum = group_.ranks_[0]->started_[index][i];
      for (std::size_t r = 1; r < group_.ranks_.size(); ++r) sum += group_.ranks_[r]->started_[index][i];
      for (const auto& other : group_.ranks_) other->started_[index][i] = sum;
    }
  }

  ThreadsAllReduce& group_;
  int rank_;
  std::vector<std::span<float>> started_;
  std::span<double> doubles_;
  std::uint64_t number_ = 0;
};

ThreadsAllReduce::ThreadsAllReduce(int ranks) {
  require<InputError>(ranks >= 1, "threads: there must be at least one rank, got {}", ranks);
  for (int i = 0; i < ranks; ++i) ranks_.push_back(std::make_unique<Rank>(*this, i));
}

ThreadsAllReduce::~ThreadsAllReduce() = default;

AllReduce& ThreadsAllReduce::rank(int index) { return *ranks_.at(static_cast<std::size_t>(index)); }

void ThreadsAllReduce::close(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!closed_) closed_ = reason;
  all_arrived_.notify_all();
}

void ThreadsAllReduce::barrier() {
  std::unique_lock lock(mutex_);
  const std::uint64_t generation = generation_;
  if (++arrived_ == static_cast<int>(ranks_.size())) {
    arrived_ = 0;
    ++generation_;
    all_arrived_.notify_all();
  }
  all_arrived_.wait(lock, [&] { return generation_ != generation || closed_; });
  if (generation_ == generation) fail<ExchangeError>("threads: the group was closed: {}", *closed_);
}

}  // namespace apam::exchange
