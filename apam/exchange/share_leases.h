// Deals the images of synchronous training with backup ranks (backup_ranks.h). An update takes the first K of N gradients.
//
//   share s = 0 .. U K - 1 of a run of U updates is part s % K of mini-batch s / K
//
// Every rank holds one share. After an update the shares of its K ranks are done, and those of the others are dealt again. All
// ranks get a new share: first the ranks of the update, then the others, each in order of the ranks; first the shares that were
// dealt before, then new ones, each in order of their numbers. So a dropped share goes to a rank that was early, and a slow
// rank keeps no image from the training. The last updates have fewer than N shares left: some ranks then hold none. Each share
// is in exactly one update.
//
// All of it follows from which ranks made the updates, so every rank deals for itself, with the same result.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "apam/exchange/gradient_source.h"
#include "apam/exchange/leases.h"

namespace apam::exchange {

class ShareLeases {
 public:
  /// `first`: K of the `ranks`. Throws InputError unless 1 <= first <= ranks, updates >= 0, and first * updates fits.
  ShareLeases(int ranks, int first, std::int64_t updates);

  /// What the rank computes for the next update; nothing if it holds no share.
  std::optional<BatchShare> of(int rank) const;

  /// An update by these K ranks, in ascending order. Throws ExchangeError unless they are K, distinct, and hold shares.
  void apply(std::span<const int> ranks);

  /// granted = applied + abandoned (dropped) + held.
  const LeaseCounts& counts() const { return counts_; }

 private:
  void deal(std::span<const int> early);
  void deal_to(int rank);

  std::int64_t first_, total_;
  std::int64_t next_ = 0;
  std::set<std::int64_t> returned_;
  std::vector<std::optional<std::int64_t>> held_;  // by rank
  LeaseCounts counts_;
};

}  // namespace apam::exchange
