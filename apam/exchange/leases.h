// Deals the mini-batches 0 .. total-1 to workers until each has been fulfilled.
//
// Worker w of N starts with the leases w and N + w; each reply to a gradient carries the next batch to deal: the lowest one
// that was returned, or else the next new one. So a worker holds one lease to compute and one to prefetch, until the batches
// run out. A worker that computes ahead starts with 2 N + w as well: one to push, one to compute and one to prefetch. A lease
// is returned if its gradient was refused or its worker left. A training that is continued deals what was not applied.
//
//   granted = applied + refused + cancelled + abandoned + outstanding + kept
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <vector>

#include "apam/exchange/transport.h"

namespace apam::exchange {

/// What became of the leases that were dealt. A batch that was returned is granted again.
struct LeaseCounts {
  std::int64_t granted = 0;
  std::int64_t applied = 0;    ///< in an update
  std::int64_t refused = 0;    ///< computed, but too stale
  std::int64_t cancelled = 0;  ///< given up by the worker at the master's request
  std::int64_t abandoned = 0;  ///< held by a worker that left or was stopped

  std::int64_t ended() const { return applied + refused + cancelled + abandoned; }
};

/// Which batches of a training have been applied: all below `next` but those in `open`.
struct BatchProgress {
  std::int64_t next = 0;
  std::vector<std::int64_t> open{};  ///< ascending
  LeaseCounts counts{};              ///< as if the open ones had been abandoned

  std::int64_t applied() const { return next - static_cast<std::int64_t>(open.size()); }
};

class Leases {
 public:
  /// `first`: leases that a worker starts with. `done`: of a training that is continued; what is left is dealt in order, the
  /// open batches first. Throws InputError without workers, if total is negative, if a reply has no room for the first leases,
  /// or for open batches that are not ascending or not below `next`, or a `next` above total.
  Leases(int workers, std::int64_t total, int first = 2, BatchProgress done = {});

  int workers() const { return static_cast<int>(workers_.size()); }
  std::int64_t total() const { return total_; }

  /// Adds the worker's first leases to `reply`: fewer if there are not enough batches.
  void deal_first(int worker, Reply& reply);

  /// Adds the next lease to `reply`, if any is left.
  void deal_next(int worker, Reply& reply);

  /// Throws ExchangeError unless `batch` is the oldest lease of the worker.
  void check_oldest(int worker, std::int64_t batch) const;

  /// The oldest lease of the worker: its gradient is applied; or kept for an update by several; or it is dealt again.
  void apply(int worker);
  void keep(int worker);
  void refuse(int worker);
  void cancel(int worker);

  /// All leases of the worker are dealt again, to others.
  void abandon(int worker);

  /// The gradients that were kept are applied; or lost, at the end of a run.
  void apply_kept();
  void abandon_kept();
  std::size_t kept() const { return kept_.size(); }

  BatchProgress progress() const;

  std::size_t outstanding(int worker) const { return workers_.at(static_cast<std::size_t>(worker)).leases.size(); }
  bool can_deal() const { return !returned_.empty() || next_ < places(); }
  const LeaseCounts& counts() const { return counts_; }

 private:
  struct WorkerLeases {
    std::deque<std::int64_t> leases;  // oldest first
    bool started = false;             // the first leases are dealt, or given up
  };

  /// The batches that were left at the start have places 0, 1, ...
  std::int64_t places() const { return total_ - done_.applied(); }
  std::int64_t batch_at(std::int64_t place) const;
  void deal(int worker, std::int64_t batch, Reply& reply);
  std::int64_t pop(int worker);
  /// The batches that are reserved for the worker's first leases.
  std::vector<std::int64_t> first_batches(int worker) const;

  std::int64_t total_;
  int first_;
  BatchProgress done_;  // at the start
  std::int64_t next_;   // place
  std::vector<WorkerLeases> workers_;
  std::set<std::int64_t> returned_;
  std::vector<std::int64_t> kept_;
  LeaseCounts counts_;
};

}  // namespace apam::exchange
