#include "apam/exchange/share_leases.h"

#include <algorithm>
#include <limits>

#include "apam/exchange/error.h"

namespace apam::exchange {

ShareLeases::ShareLeases(int ranks, int first, std::int64_t updates) : first_(first), total_(0) {
  require<InputError>(first >= 1 && first <= ranks, "shares: the first {} of {} ranks, expected 1 to all", first, ranks);
  require<InputError>(updates >= 0 && updates <= std::numeric_limits<std::int64_t>::max() / first,
                      "shares: {} updates of {} gradients", updates, first);
  total_ = updates * first_;
  held_.resize(static_cast<std::size_t>(ranks));
  deal({});
}

std::optional<BatchShare> ShareLeases::of(int rank) const {
  const auto& share = held_.at(static_cast<std::size_t>(rank));
  if (!share) return std::nullopt;
  return BatchShare{*share / first_, static_cast<int>(*share % first_), static_cast<int>(first_)};
}

void ShareLeases::apply(std::span<const int> ranks) {
  require<ExchangeError>(static_cast<std::int64_t>(ranks.size()) == first_, "shares: an update by {} ranks, expected {}",
                         ranks.size(), first_);
  for (const int rank : ranks) {
    auto& share = held_.at(static_cast<std::size_t>(rank));
    require<ExchangeError>(share.has_value(), "shares: an update by rank {}, which holds no share", rank);
    share.reset();
    ++counts_.applied;
  }
  for (auto& share : held_) {
    if (!share) continue;
    returned_.insert(*share);
    share.reset();
    ++counts_.abandoned;
  }
  deal(ranks);
}

void ShareLeases::deal(std::span<const int> early) {
  for (const int rank : early) deal_to(rank);
  for (int rank = 0; rank < static_cast<int>(held_.size()); ++rank) {
    if (std::ranges::find(early, rank) == early.end()) deal_to(rank);
  }
}

void ShareLeases::deal_to(int rank) {
  auto& share = held_[static_cast<std::size_t>(rank)];
  if (!returned_.empty()) {
    share = *returned_.begin();
    returned_.erase(returned_.begin());
  } else if (next_ < total_) {
    share = next_++;
  } else {
    return;
  }
  ++counts_.granted;
}

}  // namespace apam::exchange
