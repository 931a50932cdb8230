// Which ranks of asynchronous training are masters, and which are workers.
#pragma once

namespace apam::exchange {

/// Ranks 0 .. masters-1 are the masters. The workers are the ranks behind them; colocated, all ranks are workers, and the first
/// ones are masters too.
struct Roles {
  int masters = 1, workers = 1;
  bool colocated = false;

  /// Of `ranks` ranks.
  static constexpr Roles of(int ranks, int masters, bool colocated) {
    return {.masters = masters, .workers = colocated ? ranks : ranks - masters, .colocated = colocated};
  }

  constexpr int ranks() const { return colocated ? workers : masters + workers; }
  constexpr bool is_master(int rank) const { return rank < masters; }
  constexpr bool is_worker(int rank) const { return rank >= first_worker(); }
  constexpr int first_worker() const { return colocated ? 0 : masters; }  ///< its rank
  constexpr int rank_of_worker(int worker) const { return first_worker() + worker; }
  constexpr int worker_of(int rank) const { return rank - first_worker(); }

  /// Each is there, and every colocated master has a worker.
  constexpr bool complete() const { return masters >= 1 && workers >= (colocated ? masters : 1); }
};

}  // namespace apam::exchange
