// Which K of N contributions make an update, if ranks offer them by messages: what one of the ranks decides for all, in its
// order of arrival. Knows no thread, clock or message.
//
//   offer     K for the next update: it may be decided. Further ones, and those for updates that are decided: late
//   release   the rank has applied the update. None is decided while a rank is `rounds` updates behind
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "apam/exchange/first_arrivals.h"

namespace apam::exchange {

class FirstOffers {
 public:
  FirstOffers(int ranks, int first, std::int64_t rounds)
      : ranks_(ranks), first_(first), rounds_(rounds), released_(static_cast<std::size_t>(ranks)) {}

  // What a rank does, each update once and in order. Throw ExchangeError for another order.
  void offer(int rank, std::int64_t update, const GradientHeader& header);
  void release(int rank, std::int64_t update);
  void finish(int rank);
  /// Throws ExchangeError if another rank has passed another number for the update.
  void compare(int rank, std::int64_t update, std::uint64_t checksum);

  struct Decision {
    std::int64_t update = 0;
    std::vector<EarlyGradient>
        arrivals;  ///< K, in ascending order of the ranks, with the first signal of an offer, late or not
  };
  /// The next decision, once.
  std::optional<Decision> decide();

  bool finished() const { return finished_ == ranks_; }  ///< all ranks
  std::int64_t late() const { return late_; }            ///< contributions so far

 private:
  struct Compared {
    int rank = 0;  // the first
    std::uint64_t checksum = 0;
    int ranks = 0;
  };

  int ranks_, first_;
  std::int64_t rounds_;
  std::int64_t decided_ = 0;            // the latest update
  std::vector<EarlyGradient> offered_;  // for the next one
  std::vector<std::int64_t> released_;  // the latest update, by rank
  std::map<std::int64_t, Compared> compared_;
  std::int64_t late_ = 0;
  std::int32_t signal_ = 0;
  int finished_ = 0;
};

}  // namespace apam::exchange
