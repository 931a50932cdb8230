#include "apam/exchange/shared/first_arrivals.h"

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <vector>

#include "apam/exchange/arrival_sum.h"
#include "apam/exchange/shared/transports.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/pages.h"

namespace apam::exchange::shared {

/// Zero bytes are its initial state.
struct BackupGroup::Control {
  std::uint64_t magic = 0;
  std::int32_t ranks = 0, first = 0;
  std::uint64_t floats = 0, gradients = 0;
  alignas(64) std::atomic<std::uint64_t> claimed = 0;
  std::atomic<std::int64_t> late = 0;
  std::atomic<std::int32_t> signal = 0;  // the first that a rank got
  alignas(64) futex::Word entered = 0;
  alignas(64) futex::Word summed = 0;
  Closing closing;
};

namespace {

constexpr std::size_t kLine = 64;
constexpr std::uint64_t kBackupMark = 0x6d61706162753031;  // changes with the layout of the memory

static_assert(sizeof(BackupGroup::Control) <= kPage && sizeof(EarlyGradient) <= 96, "the formula in first_arrivals.h");

/// Where the parts begin.
struct Offsets {
  explicit Offsets(const BackupLayout& layout) {
    const auto ranks = static_cast<std::size_t>(layout.ranks), first = static_cast<std::size_t>(layout.first);
    values = whole_pages(layout.floats * sizeof(float));
    round = whole_pages(ranks * 8 + first * 96);
    rounds = progress + whole_pages(ranks * kLine);
    sums = rounds + BackupLayout::kRounds * round;
    contributions = sums + BackupLayout::kRounds * values;
    end = contributions + ranks * values;
  }

  std::size_t values = 0, round = 0;  // sizes
  std::size_t progress = kPage, rounds = 0, sums = 0, contributions = 0, end = 0;
};

std::size_t round_of(std::int64_t update) { return static_cast<std::size_t>(update - 1) % BackupLayout::kRounds; }

bool behind(std::uint32_t number, std::uint32_t wanted) { return static_cast<std::int32_t>(number - wanted) < 0; }

class SharedFirstArrivals final : public FirstArrivals {
 public:
  SharedFirstArrivals(const BackupGroup& group, int rank, const ProcessWatch* others)
      : group_(group), control_(group.control()), rank_(rank), others_(others) {
    static_cast<void>(group_.contribution(rank));  // checks the rank
  }

  int rank() const override { return rank_; }
  int ranks() const override { return group_.layout().ranks; }
  int first() const override { return group_.layout().first; }
  std::string_view name() const override { return "shared memory"; }

  void broadcast(Span<float> values) override {
    const Span<float> through = group_.sum(1);
    require<ExchangeError>(values.size() == through.size(), "shared memory: rank {} copies {} floats, a contribution has {}",
                           rank_, values.size(), through.size());
    if (rank_ == 0) {
      copy(ConstSpan<float>(values), through);
    } else {
      wait_for(group_.released(0), 1);
      copy(ConstSpan<float>(through), values);
    }
    futex::signal(group_.released(rank_));
  }

  bool complete(std::int64_t update) const override { return control_.claimed.load() >= end_of(update); }

  bool offer(std::int64_t update, const GradientHeader& header) override {
    require<ExchangeError>(update == taken_ + 1, "shared memory: rank {} offers update {} after update {}", rank_, update,
                           taken_);
    std::int32_t none = 0;
    if (header.signal != 0) control_.signal.compare_exchange_strong(none, header.signal);
    const auto oldest = std::max<std::int64_t>(1, update - static_cast<std::int64_t>(BackupLayout::kRounds) + 1);
    if (!complete(update)) {
      for (int rank = 0; rank < ranks(); ++rank) wait_for(group_.released(rank), static_cast<std::uint32_t>(oldest));
    }
    const std::uint64_t begin = end_of(update - 1), end = end_of(update);
    std::uint64_t claimed = control_.claimed.load();
    do {
      require<ExchangeError>(claimed >= begin, "shared memory: {} contributions at update {}, expected at least {}", claimed,
                             update, begin);
      if (claimed >= end) {
        ++control_.late;
        return false;
      }
    } while (!control_.claimed.compare_exchange_weak(claimed, claimed + 1));
    if (claimed == begin) {
      for (auto& checksum : group_.checksums(update)) checksum.store(0);
    }
    EarlyGradient& arrival = group_.arrivals(update)[claimed - begin];
    arrival = {rank_, header};
    arrival.header.signal = control_.signal.load();
    count_to(control_.entered, end);
    return true;
  }

  FirstSum take(std::int64_t update) override {
    require<ExchangeError>(update == taken_ + 1, "shared memory: rank {} takes update {} after update {}", rank_, update,
                           taken_);
    const std::uint64_t end = end_of(update);
    wait_for(control_.entered, static_cast<std::uint32_t>(end));
    const auto arrivals = group_.arrivals(update);
    arrivals_.assign(arrivals.begin(), arrivals.end());
    std::ranges::sort(arrivals_, {}, &EarlyGradient::rank);
    const auto mine = std::ranges::find(arrivals_, rank_, &EarlyGradient::rank);
    if (mine != arrivals_.end()) {
      sum_part(update, static_cast<std::size_t>(mine - arrivals_.begin()));
      count_to(control_.summed, end);
    }
    wait_for(control_.summed, static_cast<std::uint32_t>(end));
    taken_ = update;
    return {arrivals_, group_.sum(update)};
  }

  void compare(std::int64_t update, std::uint64_t checksum) override {
    checksum = std::max<std::uint64_t>(checksum, 1);  // 0: none
    const auto checksums = group_.checksums(update);
    checksums[static_cast<std::size_t>(rank_)].store(checksum);
    for (std::size_t rank = 0; rank < checksums.size(); ++rank) {
      const std::uint64_t other = checksums[rank].load();
      require<ExchangeError>(other == 0 || other == checksum,
                             "sync: after update {} the model of rank {} has checksum {:016x}, rank {} has {:016x}", update,
                             rank_, checksum, rank, other);
    }
  }

  void release(std::int64_t update) override {
    require<ExchangeError>(update == taken_ && update == released_ + 1, "shared memory: rank {} releases update {} after {}",
                           rank_, update, released_);
    released_ = update;
    futex::signal(group_.released(rank_));
  }

  void finish(std::int64_t update) override {
    for (int rank = 0; rank < ranks(); ++rank) wait_for(group_.released(rank), static_cast<std::uint32_t>(update + 1));
  }

  std::int64_t late() const override { return control_.late.load(); }

 private:
  std::uint64_t end_of(std::int64_t update) const {
    return static_cast<std::uint64_t>(update) * static_cast<std::uint64_t>(first());
  }

  /// One more; the one that reaches `end` wakes all that wait.
  static void count_to(futex::Word& word, std::uint64_t end) {
    if (word.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<std::uint32_t>(end)) futex::wake_all(word);
  }

  void wait_for(const futex::Word& word, std::uint32_t wanted) const {
    while (true) {
      const std::uint32_t seen = word.load(std::memory_order_acquire);
      if (!behind(seen, wanted)) return;
      control_.closing.require_open();
      if (futex::wait(word, seen, kLook) || others_ == nullptr || others_->ended().empty()) continue;
      require<ExchangeError>(!behind(word.load(std::memory_order_acquire), wanted),
                             "shared memory: rank {} waits for the others, but the process of a rank has ended", rank_);
    }
  }

  void sum_part(std::int64_t update, std::size_t part) {
    const Range range = part_of_sum(group_.layout().floats, part, first());
    values_.clear();
    for (const EarlyGradient& arrival : arrivals_) {
      values_.push_back(group_.contribution(arrival.rank).data() + range.begin);
    }
    sum_arrivals(arrivals_, values_, range, group_.layout().gradients, group_.sum(update).data() + range.begin);
  }

  BackupGroup group_;
  BackupGroup::Control& control_;
  int rank_;
  const ProcessWatch* others_;
  std::int64_t taken_ = 0, released_ = 0;
  std::vector<EarlyGradient> arrivals_;  // of the update that was taken last
  std::vector<const float*> values_;     // scratch
};

}  // namespace

std::size_t BackupLayout::bytes() const {
  require<InputError>(first >= 1 && first <= ranks, "shared memory: the first {} of {} ranks, expected 1 to all", first, ranks);
  require<InputError>(gradients <= floats, "shared memory: {} gradients of {} floats", gradients, floats);
  const std::size_t most = std::numeric_limits<std::size_t>::max() / 8 / (static_cast<std::size_t>(ranks) + kRounds);
  require<DeviceError>(floats <= most, "shared memory: {} contributions of {} floats are larger than any memory", ranks,
                       floats);
  return Offsets(*this).end;
}

BackupGroup::BackupGroup(std::span<std::byte> memory, const BackupLayout& layout) : layout_(layout), memory_(memory.data()) {
  require<InputError>(memory.size() == layout.bytes(), "shared memory: {} bytes for a group of {}", memory.size(),
                      layout.bytes());
}

BackupGroup BackupGroup::create(std::span<std::byte> memory, const BackupLayout& layout) {
  const BackupGroup group(memory, layout);
  auto* const control = new (group.memory_) Control;
  for (int rank = 0; rank < layout.ranks; ++rank) {
    new (group.memory_ + Offsets(layout).progress + static_cast<std::size_t>(rank) * kLine) futex::Word(0);
  }
  for (std::int64_t update = 1; update <= static_cast<std::int64_t>(BackupLayout::kRounds); ++update) {
    for (auto& checksum : group.checksums(update)) new (&checksum) std::atomic<std::uint64_t>(0);
    for (auto& arrival : group.arrivals(update)) new (&arrival) EarlyGradient;
  }
  control->ranks = layout.ranks;
  control->first = layout.first;
  control->floats = layout.floats;
  control->gradients = layout.gradients;
  control->magic = kBackupMark;
  return group;
}

BackupGroup BackupGroup::open(std::span<std::byte> memory, const BackupLayout& layout) {
  const BackupGroup group(memory, layout);
  const Control& control = group.control();
  require<ExchangeError>(
      control.magic == kBackupMark && control.ranks == layout.ranks && control.first == layout.first &&
          control.floats == layout.floats && control.gradients == layout.gradients,
      "shared memory: a group {:x} of the first {} of {} ranks with {} of {} floats, expected {:x}, {} of {} "
      "and {} of {}",
      control.magic, control.first, control.ranks, control.gradients, control.floats, kBackupMark, layout.first, layout.ranks,
      layout.gradients, layout.floats);
  return group;
}

BackupGroup::Control& BackupGroup::control() const { return *reinterpret_cast<Control*>(memory_); }

futex::Word& BackupGroup::released(int rank) const {
  return *reinterpret_cast<futex::Word*>(memory_ + Offsets(layout_).progress + static_cast<std::size_t>(rank) * kLine);
}

std::byte* BackupGroup::round(std::int64_t update) const {
  const Offsets offsets(layout_);
  return memory_ + offsets.rounds + round_of(update) * offsets.round;
}

std::span<std::atomic<std::uint64_t>> BackupGroup::checksums(std::int64_t update) const {
  return {reinterpret_cast<std::atomic<std::uint64_t>*>(round(update)), static_cast<std::size_t>(layout_.ranks)};
}

std::span<EarlyGradient> BackupGroup::arrivals(std::int64_t update) const {
  return {reinterpret_cast<EarlyGradient*>(round(update) + static_cast<std::size_t>(layout_.ranks) * 8),
          static_cast<std::size_t>(layout_.first)};
}

Span<float> BackupGroup::sum(std::int64_t update) const {
  const Offsets offsets(layout_);
  return {reinterpret_cast<float*>(memory_ + offsets.sums + round_of(update) * offsets.values), layout_.floats};
}

Span<float> BackupGroup::contribution(int rank) const {
  require<ExchangeError>(rank >= 0 && rank < layout_.ranks, "shared memory: rank {} of {}", rank, layout_.ranks);
  const Offsets offsets(layout_);
  return {reinterpret_cast<float*>(memory_ + offsets.contributions + static_cast<std::size_t>(rank) * offsets.values),
          layout_.floats};
}

void BackupGroup::close(std::string_view reason) const {
  if (!control().closing.close(reason)) return;
  futex::wake_all(control().entered);
  futex::wake_all(control().summed);
  for (int rank = 0; rank < layout_.ranks; ++rank) futex::wake_all(released(rank));
}

std::unique_ptr<FirstArrivals> make_first_arrivals(const BackupGroup& group, int rank, const ProcessWatch* others) {
  return std::make_unique<SharedFirstArrivals>(group, rank, others);
}

}  // namespace apam::exchange::shared
