// Synchronous training with backup ranks through memory that all ranks of one host map: which K of N contributions make an
// update, and their sum.
//
//   control         4096                        layout, counters, reason of a failure
//   progress        pages(N * 64)               updates that each rank has released
//   rounds          8 * pages(N * 8 + K * 96)   arrivals and checksums of update u, in round (u - 1) % 8
//   sums            8 * pages(floats * 4)       their sum
//   contributions   N * pages(floats * 4)       pages(b) = b rounded up to 4096
//
// The counters grow by K with every update: update u has the numbers (u - 1) K .. u K - 1.
//
//   offer(u)    wait until all ranks have released update u - 8, whose round it reuses.  claimed >= u K: late, drop it.
//               claimed + 1 (compare and swap): its place; write the arrival;  entered + 1 (release), wake after the last of K
//   take(u)     sleep until entered >= u K.  The i-th of the K ranks sums part i of the contributions, in order of the ranks;
//               summed + 1 (release), wake after the last of K.  Sleep until summed >= u K
//   release(u)  released + 1 (release), wake
//
// The sums are written once and read by all ranks where they are. A rank that computes may be up to 8 updates behind; then the
// others wait. No entered or summed of update u + 1 comes before the last one of update u, because a rank offers u + 1 after it
// has taken u.
#pragma once

#include <memory>

#include "apam/exchange/first_arrivals.h"
#include "apam/exchange/shared/closing.h"
#include "kernels/runtime/process_watch.h"

namespace apam::exchange::shared {

/// What all ranks must agree on.
struct BackupLayout {
  static constexpr std::size_t kRounds = 8;  ///< that a rank may be behind

  int ranks = 0;
  int first = 0;              ///< K
  std::size_t floats = 0;     ///< of a contribution
  std::size_t gradients = 0;  ///< of them; the others are batch statistics

  /// Throws InputError unless 1 <= first <= ranks and gradients <= floats, DeviceError if the result does not fit.
  std::size_t bytes() const;
};

/// A view; the memory is the caller's.
class BackupGroup {
 public:
  struct Control;

  /// Over zeros, layout.bytes() of them, aligned to 4096; and over memory that create() has prepared. Throw as Segment does.
  static BackupGroup create(std::span<std::byte> memory, const BackupLayout& layout);
  static BackupGroup open(std::span<std::byte> memory, const BackupLayout& layout);

  const BackupLayout& layout() const { return layout_; }
  Control& control() const;
  futex::Word& released(int rank) const;  ///< updates + 1; 0: has not got the first weights
  std::span<std::atomic<std::uint64_t>> checksums(std::int64_t update) const;  ///< by rank; 0: none yet
  std::span<EarlyGradient> arrivals(std::int64_t update) const;                ///< by place
  Span<float> sum(std::int64_t update) const;
  Span<float> contribution(int rank) const;
  /// Ends the group: current and later waits of all ranks throw ExchangeError with the first reason.
  void close(std::string_view reason) const;

 private:
  BackupGroup(std::span<std::byte> memory, const BackupLayout& layout);
  std::byte* round(std::int64_t update) const;

  BackupLayout layout_;
  std::byte* memory_;
};

/// The end of a rank, whose contribution is in group.contribution(rank). `others`: the processes of the other ranks, null for
/// threads; if one ends, waits throw ExchangeError. The memory and the watch must outlive the result.
std::unique_ptr<FirstArrivals> make_first_arrivals(const BackupGroup& group, int rank, const ProcessWatch* others = nullptr);

}  // namespace apam::exchange::shared
