// A training in virtual time: the same MasterState as in production, with durations in place of computation and messages.
//
//   compute     one gradient: a distribution, times a factor per worker
//   latency     of a message; messages overlap in it
//   transfer    bytes / bandwidth, in which a link carries one message at a time; the master has one link in each direction
//   update      S(k) = first + further (k - 1) for k gradients in one pass
//   receive     of the master's thread, per gradient; reply: per reply. For a transport that copies in that thread
//   worker_receive   of a worker, per reply, after its transfer: workers receive at the same time. For a transport in which the
//               receiver copies from the memory of the sender
//   masters     M, each with 1/M of the model and links of its own. They work on a pass at the same time, and a message travels
//               in M parts at the same time, so both take 1/M as long; only the first master replies. Waking the others takes
//               no time. For pipelined and shared
//   cores       of a host that all ranks share, or enough. Replies and receives of workers need one each, passes and transfers
//               one per master; when more are due than there are cores, all of them slow down evenly (simulated_cores.h).
//               Computations have cores of their own: they stand for workers that sleep, or compute elsewhere. A serial
//               master keeps a core while it waits
//
//   mode        the master
//   serial      receives, updates by one gradient, and sends, one after the other: the loop of the reference program
//   pipelined   receives, updates by all that have arrived, and sends, at the same time
//   shared      as pipelined without transfers: gradients and weights are read in place
//   sync        no master: each of N workers computes 1/N of a batch; then all-reduce and update
//   k_of_n      as sync with 1/K of a batch each; an update waits for the first K of N, the others are dropped
//
// Laws: updates per second X(N) <= min(N / T1, 1 / S) for the cycle T1 of one worker and the time S per update of the masters;
// X <= C / D for C cores and the work D of an update that needs one; half duplex: X <= 1 / the transfers of gradient and
// weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apam/exchange/leases.h"
#include "apam/exchange/policies/policy.h"

namespace apam::exchange {

enum class SimulatedMode : std::uint8_t { serial, pipelined, shared, sync, k_of_n };

/// All durations in seconds.
struct ComputeTime {
  enum class Distribution : std::uint8_t { constant, uniform, lognormal };
  Distribution distribution = Distribution::constant;
  double mean = 1;
  double spread = 0;  ///< uniform: mean (1 +- spread); lognormal: standard deviation of the logarithm; the mean stays
};

struct SimulatedLink {
  double latency = 0;
  double bytes_per_second = 0;  ///< 0: transfers take no time
  bool half_duplex = false;     ///< pipelined: gradients and weights exclude one another, as if one thread copied both
};

struct SimulatedDeath {
  int worker = 0;
  double at = 0;
};

struct SimulationOptions {
  SimulatedMode mode = SimulatedMode::serial;
  int workers = 1;
  int masters = 1;
  std::int64_t updates = 1000;
  ComputeTime compute{};
  std::vector<double> slowdown{};  ///< by worker, of its compute times; missing: 1
  SimulatedLink link{};
  double gradient_bytes = 0, weight_bytes = 0;
  double first_update = 0, further_update = 0;  ///< S(1), and S(k) - S(k-1)
  double receive = 0, reply = 0;                ///< of the master's thread, in addition to transfers
  double worker_receive = 0;                    ///< of a worker, per reply, in addition to transfers
  int cores = 0;                                ///< 0: enough
  double all_reduce = 0;                        ///< sync and k_of_n, per update
  int first_of = 0;                             ///< K of k_of_n
  std::vector<SimulatedDeath> deaths{};
  PolicyOptions policy{};
  std::uint64_t seed = 0;
};

struct SimulationResult {
  std::int64_t updates = 0;
  double seconds = 0;
  double updates_per_second = 0;
  double staleness_mean = 0;
  std::int64_t staleness_max = 0;
  double busy = 0;           ///< share of the time in which the master updates; serial: receives, updates or sends
  double together = 0;       ///< gradients per pass
  double waiting = 0;        ///< mean seconds between the end of a computation and the next one
  std::int64_t dropped = 0;  ///< k_of_n: gradients that came too late
  LeaseCounts leases{};
};

/// Throws InputError for options that are negative or not finite, for K outside 1 .. workers, for several masters in modes
/// other than pipelined and shared, and for cores, receives of workers or half duplex in synchronous modes. Deterministic for a
/// seed.
SimulationResult simulate(const SimulationOptions& options);

}  // namespace apam::exchange
