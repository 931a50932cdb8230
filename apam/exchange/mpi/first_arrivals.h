// Synchronous training with backup ranks by messages: which K of N contributions make an update, and their sum. From and to
// host buffers. All ranks compute, rank 0 too, whose thread of messages decides which K are first (first_offers.h).
//
//   tag 8   rank -> 0      Note: an offer, a checksum, an update that is released, the end
//   tag 9   0 -> rank      Decision: the K ranks of update u and their headers, or the end
//   tag 10  K -> K         part i of a contribution, to the i-th of the K ranks
//   tag 11  K -> all       part i of the sum
//
// The i-th of the K ranks sums part i, in order of the ranks, and sends it to all N. So all ranks have the same bits, and each
// of the K receives K - 1 parts of contributions of 1/K and sends N - 1 parts of the sum; a rank that is late receives K parts.
//
// One thread of each rank makes all MPI calls between broadcast() and finish(). It receives decisions and sums while the other
// one computes, into the memory of update u mod 4. So a rank may be 4 updates behind; then the others wait for it.
#pragma once

#include <memory>

#include "apam/exchange/first_arrivals.h"
#include "apam/exchange/mpi/transports.h"

namespace apam::exchange::mpi {

/// All ranks must agree on these.
struct BackupSizes {
  static constexpr std::int64_t kRounds = 4;  ///< that a rank may be behind

  int first = 0;              ///< K
  std::size_t floats = 0;     ///< of a contribution
  std::size_t gradients = 0;  ///< of them; the others are batch statistics

  std::size_t longest_part() const;  ///< of a contribution, in floats
  /// Memory of a rank: 4 sums and K parts of contributions.
  std::size_t bytes() const;
};

/// Collective. The end of this rank, whose contribution is in `contribution`; that must outlive the result, after an error the
/// process. This and the result throw ExchangeError if the sizes of two ranks differ or do not fit, or if MPI fails; InputError
/// unless 1 <= K <= ranks and gradients <= floats; DeviceError for memory other than the CPU's. Replicas that differ end rank
/// 0, in its next call that waits. The caller makes no MPI calls between broadcast() and the end of finish().
std::unique_ptr<FirstArrivals> make_first_arrivals(const Environment& environment, const BackupSizes& sizes,
                                                   Span<float> contribution, Sends sends = Sends::standard);

}  // namespace apam::exchange::mpi
