// Deals the mini-batches 0 .. total-1 to workers, each exactly once.
//
// Worker w of N starts with the leases w and N + w; each reply to a gradient carries the next undealt batch. So a worker holds
// one lease to compute and one to prefetch, until the batches run out.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "apam/exchange/transport.h"

namespace apam::exchange {

class Leases {
 public:
  /// Throws InputError without workers, or if total is negative.
  Leases(int workers, std::int64_t total);

  int workers() const { return static_cast<int>(outstanding_.size()); }
  std::int64_t total() const { return total_; }

  /// Adds the worker's first leases to `reply`: at most two, none if there are more workers than batches.
  void deal_first(int worker, Reply& reply);

  /// Removes the oldest outstanding lease of the worker. Throws ExchangeError unless it is `batch`.
  void fulfil(int worker, std::int64_t batch);

  /// Adds the next undealt lease, if any, to `reply`.
  void deal_next(int worker, Reply& reply);

  std::size_t outstanding(int worker) const { return outstanding_.at(static_cast<std::size_t>(worker)).size(); }

 private:
  void deal(int worker, std::int64_t batch, Reply& reply);

  std::int64_t total_;
  std::int64_t next_;
  std::vector<std::deque<std::int64_t>> outstanding_;  // by worker, oldest first
};

}  // namespace apam::exchange
