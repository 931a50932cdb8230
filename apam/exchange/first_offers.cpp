#include "apam/exchange/first_offers.h"

#include <algorithm>
#include <utility>

#include "apam/exchange/error.h"

namespace apam::exchange {

void FirstOffers::offer(int rank, std::int64_t update, const GradientHeader& header) {
  require<ExchangeError>(update >= 1 && update <= decided_ + 1, "sync: rank {} offers update {}, expected 1 to {}", rank,
                         update, decided_ + 1);
  if (signal_ == 0) signal_ = header.signal;
  if (update <= decided_ || offered_.size() == static_cast<std::size_t>(first_)) {
    ++late_;
    return;
  }
  require<ExchangeError>(std::ranges::find(offered_, rank, &EarlyGradient::rank) == offered_.end(),
                         "sync: rank {} offers update {} twice", rank, update);
  offered_.push_back({rank, header});
}

void FirstOffers::release(int rank, std::int64_t update) {
  std::int64_t& released = released_[static_cast<std::size_t>(rank)];
  require<ExchangeError>(update == released + 1 && update <= decided_,
                         "sync: rank {} releases update {} after {}, {} updates are decided", rank, update, released, decided_);
  released = update;
}

void FirstOffers::finish(int rank) {
  std::int64_t& released = released_[static_cast<std::size_t>(rank)];
  require<ExchangeError>(released == decided_, "sync: rank {} ends after update {} of {}", rank, released, decided_);
  ++finished_;
}

void FirstOffers::compare(int rank, std::int64_t update, std::uint64_t checksum) {
  const auto [entry, is_first] = compared_.try_emplace(update, Compared{rank, checksum});
  Compared& compared = entry->second;
  require<ExchangeError>(checksum == compared.checksum,
                         "sync: after update {} the model of rank {} has checksum {:016x}, rank {} has {:016x}", update, rank,
                         checksum, compared.rank, compared.checksum);
  if (++compared.ranks == ranks_) compared_.erase(entry);
}

std::optional<FirstOffers::Decision> FirstOffers::decide() {
  if (offered_.size() < static_cast<std::size_t>(first_)) return std::nullopt;
  if (std::ranges::min(released_) < decided_ + 1 - rounds_) return std::nullopt;
  Decision decision{++decided_, std::exchange(offered_, {})};
  std::ranges::sort(decision.arrivals, {}, &EarlyGradient::rank);
  if (signal_ != 0) decision.arrivals.front().header.signal = signal_;
  return decision;
}

}  // namespace apam::exchange
