#include "apam/exchange/shared/all_reduce.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <new>
#include <vector>

#include "kernels/runtime/buffer.h"
#include "kernels/runtime/pages.h"
#include "kernels/runtime/parallel.h"

namespace apam::exchange::shared {
namespace {

constexpr std::uint64_t kAllReduceMark = 0x6d61706167653032;  // changes with the layout of RankPage

struct GroupControl {
  std::uint64_t magic = 0;
  std::int32_t ranks = 0;
  std::uint64_t floats = 0;
  Closing closing;
};
static_assert(sizeof(GroupControl) <= kPage && sizeof(RankPage) <= kPage, "the formula in all_reduce.h");

std::size_t contribution_bytes(std::size_t floats) { return whole_pages(floats * sizeof(float)); }

/// sum[i] = g[0][i] + g[1][i] + ...
void add_part(std::span<const float* const> g, float* sum, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kBlock = 2048;  // of a sum, in the first-level cache
  for (std::int64_t from = begin; from < end; from += kBlock) {
    const std::int64_t to = std::min(from + kBlock, end);
    const float* const first = g[0];
    const float* const second = g[1];
    for (std::int64_t i = from; i < to; ++i) sum[i] = first[i] + second[i];
    for (std::size_t q = 2; q < g.size(); ++q) {
      const float* const more = g[q];
      for (std::int64_t i = from; i < to; ++i) sum[i] += more[i];
    }
  }
}

class SharedAllReduce final : public AllReduce {
 public:
  SharedAllReduce(const Group& group, int rank, const ProcessWatch* others)
      : group_(group), rank_(rank), page_(group.page(rank)), others_(others) {}

  int rank() const override { return rank_; }
  int ranks() const override { return group_.layout().ranks; }
  std::string_view name() const override { return "shared memory"; }

  void start(Span<float> values) override {
    const std::size_t offset = offset_of(values);
    while (started_ - finished_ >= RankPage::kMostSums) finish_oldest();
    page_.sums[started_ % RankPage::kMostSums] = {offset, values.size()};
    ++started_;
    futex::signal(page_.started);
  }

  /// With one rank nothing is summed.
  ConstSpan<float> sums(Span<float> values) const override {
    return ranks() == 1 ? values : group_.sums().subspan(offset_of(values), values.size());
  }

  void progress() override {
    while (summed_ != started_ && all_have(&RankPage::started, summed_ + 1)) add_next();
  }

  void finish() override {
    while (summed_ != started_) {
      wait_for_all(&RankPage::started, summed_ + 1);
      add_next();
    }
    wait_for_all(&RankPage::summed, summed_);
    finished_ = summed_;
  }

  void sum(std::span<double> values) override {
    std::vector<std::uint64_t> mine(values.size());
    std::transform(values.begin(), values.end(), mine.begin(),
                   [](double value) { return std::bit_cast<std::uint64_t>(value); });
    const auto& all = offer(mine);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = 0;
      for (int rank = 0; rank < ranks(); ++rank) values[i] += std::bit_cast<double>(all[static_cast<std::size_t>(rank)][i]);
    }
  }

  std::vector<std::uint64_t> gather(std::uint64_t value) override {
    std::vector<std::uint64_t> result;
    for (const auto& numbers : offer({&value, 1})) result.push_back(numbers[0]);
    return result;
  }

  void broadcast(Span<float> values) override {
    // Through the memory of the sums, part by part if need be.
    const Span<float> through = group_.sums();
    for (std::size_t from = 0; from < values.size(); from += through.size()) {
      const std::size_t count = std::min(through.size(), values.size() - from);
      if (rank_ == 0) copy(ConstSpan<float>(values.subspan(from, count)), through.subspan(0, count));
      gather(count);
      if (rank_ != 0) copy(ConstSpan<float>(through.subspan(0, count)), values.subspan(from, count));
      gather(count);
    }
  }

 private:
  using Numbers = std::array<std::uint64_t, RankPage::kMostNumbers>;

  /// Throws unless the values are in this rank's contribution.
  std::size_t offset_of(Span<float> values) const {
    const Span<float> all = group_.contribution(rank_);
    const auto offset = static_cast<std::size_t>(values.data() - all.data());
    require<ExchangeError>(values.data() >= all.data() && offset <= all.size() && values.size() <= all.size() - offset,
                           "shared memory: rank {} sums {} floats that are not in its contribution of {}", rank_, values.size(),
                           all.size());
    return offset;
  }

  /// Waits until all ranks have summed their parts of the oldest sum.
  void finish_oldest() {
    while (summed_ == finished_) {
      wait_for_all(&RankPage::started, summed_ + 1);
      add_next();
    }
    wait_for_all(&RankPage::summed, finished_ + 1);
    ++finished_;
  }

  /// Whether every rank's number is at least `wanted`; they may wrap around.
  bool all_have(futex::Word RankPage::*number, std::uint32_t wanted) const {
    for (int rank = 0; rank < ranks(); ++rank) {
      if (behind((group_.page(rank).*number).load(std::memory_order_acquire), wanted)) return false;
    }
    return true;
  }
  static bool behind(std::uint32_t number, std::uint32_t wanted) { return static_cast<std::int32_t>(number - wanted) < 0; }

  void wait_for_all(futex::Word RankPage::*number, std::uint32_t wanted) const {
    for (int rank = 0; rank < ranks(); ++rank) {
      const futex::Word& word = group_.page(rank).*number;
      while (true) {
        const std::uint32_t seen = word.load(std::memory_order_acquire);
        if (!behind(seen, wanted)) break;
        group_.closing().require_open();
        if (futex::wait(word, seen, kLook) || others_ == nullptr || others_->ended().empty()) continue;
        require<ExchangeError>(!behind(word.load(std::memory_order_acquire), wanted),
                               "shared memory: rank {} waits for rank {}, but the process of a rank has ended", rank_, rank);
      }
    }
  }

  /// This rank's part of the next sum, which all ranks have started.
  void add_next() {
    const std::size_t place = summed_ % RankPage::kMostSums;
    const RankPage::Sum mine = page_.sums[place];
    values_.clear();
    for (int rank = 0; rank < ranks(); ++rank) {
      const RankPage::Sum theirs = group_.page(rank).sums[place];
      require<ExchangeError>(theirs.offset == mine.offset && theirs.count == mine.count,
                             "shared memory: sum {} is of floats {} to {} on rank {}, {} to {} on rank {}", summed_,
                             mine.offset, mine.offset + mine.count, rank_, theirs.offset, theirs.offset + theirs.count, rank);
      values_.push_back(group_.contribution(rank).data() + mine.offset);
    }
    constexpr std::int64_t kLine = 16;  // floats
    const Range part = split(static_cast<std::int64_t>(mine.count), rank_, ranks(), kLine);
    if (ranks() > 1) add_part(values_, group_.sums().data() + mine.offset, part.begin, part.end);
    ++summed_;
    futex::signal(page_.summed);
  }

  /// The numbers of every rank, by rank.
  const std::vector<Numbers>& offer(std::span<const std::uint64_t> mine) {
    require<ExchangeError>(mine.size() <= RankPage::kMostNumbers, "shared memory: {} numbers at once, expected at most {}",
                           mine.size(), RankPage::kMostNumbers);
    const std::size_t place = offered_++ % 2;
    std::copy(mine.begin(), mine.end(), page_.numbers.at(place).begin());
    futex::signal(page_.offered);
    wait_for_all(&RankPage::offered, offered_);
    offers_.clear();
    for (int rank = 0; rank < ranks(); ++rank) offers_.push_back(group_.page(rank).numbers.at(place));
    return offers_;
  }

  Group group_;
  int rank_;
  RankPage& page_;
  const ProcessWatch* others_;
  std::uint32_t started_ = 0, summed_ = 0, finished_ = 0, offered_ = 0;
  std::vector<Numbers> offers_;
  std::vector<const float*> values_;  // scratch: of each rank
};

}  // namespace

std::size_t GroupLayout::bytes() const {
  require<InputError>(ranks >= 1, "shared memory: there must be at least one rank, got {}", ranks);
  const std::size_t most = std::numeric_limits<std::size_t>::max() / 8 / (static_cast<std::size_t>(ranks) + 1);
  require<DeviceError>(floats <= most, "shared memory: {} contributions of {} floats are larger than any memory", ranks,
                       floats);
  const std::size_t values = contribution_bytes(floats);
  return kPage + values + static_cast<std::size_t>(ranks) * (kPage + values);
}

Group::Group(std::span<std::byte> memory, const GroupLayout& layout) : layout_(layout), memory_(memory.data()) {
  require<InputError>(memory.size() == layout.bytes(), "shared memory: {} bytes for a group of {}", memory.size(),
                      layout.bytes());
}

Group Group::create(std::span<std::byte> memory, const GroupLayout& layout) {
  const Group group(memory, layout);
  auto* const control = new (group.memory_) GroupControl;
  for (int rank = 0; rank < layout.ranks; ++rank) new (group.memory_ + kPage * static_cast<std::size_t>(rank + 1)) RankPage;
  control->ranks = layout.ranks;
  control->floats = layout.floats;
  control->magic = kAllReduceMark;
  return group;
}

Group Group::open(std::span<std::byte> memory, const GroupLayout& layout) {
  const Group group(memory, layout);
  const auto& control = *reinterpret_cast<const GroupControl*>(group.memory_);
  require<ExchangeError>(control.magic == kAllReduceMark && control.ranks == layout.ranks && control.floats == layout.floats,
                         "shared memory: a group {:x} of {} ranks and {} floats, expected {:x} of {} and {}", control.magic,
                         control.ranks, control.floats, kAllReduceMark, layout.ranks, layout.floats);
  return group;
}

RankPage& Group::page(int rank) const {
  require<ExchangeError>(rank >= 0 && rank < layout_.ranks, "shared memory: rank {} of {}", rank, layout_.ranks);
  return *reinterpret_cast<RankPage*>(memory_ + kPage * static_cast<std::size_t>(rank + 1));
}

Span<float> Group::sums() const {
  const std::size_t offset = kPage * static_cast<std::size_t>(layout_.ranks + 1);
  return {reinterpret_cast<float*>(memory_ + offset), layout_.floats};
}

Span<float> Group::contribution(int rank) const {
  require<ExchangeError>(rank >= 0 && rank < layout_.ranks, "shared memory: rank {} of {}", rank, layout_.ranks);
  const std::size_t offset = kPage * static_cast<std::size_t>(layout_.ranks + 1) +
                             static_cast<std::size_t>(rank + 1) * contribution_bytes(layout_.floats);
  return {reinterpret_cast<float*>(memory_ + offset), layout_.floats};
}

const Closing& Group::closing() const { return reinterpret_cast<const GroupControl*>(memory_)->closing; }

void Group::close(std::string_view reason) const {
  if (!reinterpret_cast<GroupControl*>(memory_)->closing.close(reason)) return;
  for (int rank = 0; rank < layout_.ranks; ++rank) {
    RankPage& one = page(rank);
    for (futex::Word* word : {&one.started, &one.summed, &one.offered}) futex::wake_all(*word);
  }
}

std::unique_ptr<AllReduce> make_all_reduce(const Group& group, int rank, const ProcessWatch* others) {
  return std::make_unique<SharedAllReduce>(group, rank, others);
}

}  // namespace apam::exchange::shared
