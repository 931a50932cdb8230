// All-reduce between the ranks of one host through memory that all of them map. The gradients are read where backward has
// written them, each sum is written once, and all ranks read it there: N contributions of M bytes move (N + 1) M bytes.
//
//   control         4096                        layout, reason of a failure
//   rank pages      ranks * 4096                sequence numbers, sums that were started, small values
//   sums            pages(floats * 4)           rank r writes part r of each sum
//   contributions   ranks * pages(floats * 4)   written by the rank, read by all while a sum runs
//
// Sum s = 0, 1, ... of a training is the same span of every contribution. Rank r has started s when started > s, and has summed
// its part when summed > s:
//
//   start(s)   started + 1 (release), wake
//   part r     once all ranks have started s:  sum[i] = g_0[i] + g_1[i] + ... ;  summed + 1 (release), wake
//   finish()   parts of all sums that were started, then wait until all ranks have summed theirs
//
// A rank starts a sum of the next mini-batch after it has read those of the last one. So once all have started it, its part may
// be written. Every value is summed once, in order of the ranks, so all ranks get the same bits, and the same as in any other
// run. Waiting ranks sleep on the number of the rank that they wait for.
#pragma once

#include <memory>

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/shared/closing.h"
#include "apam/exchange/shared/transports.h"

namespace apam::exchange::shared {

/// What all ranks must agree on.
struct GroupLayout {
  int ranks = 0;
  std::size_t floats = 0;  ///< of a contribution

  /// Throws InputError without ranks, DeviceError if the result does not fit.
  std::size_t bytes() const;
};

struct RankPage {
  static constexpr std::size_t kMostSums = 239;  ///< that are started at once; start() waits for the oldest if there are more
  static constexpr std::size_t kMostNumbers = 8;

  struct Sum {
    std::uint64_t offset = 0, count = 0;
  };

  alignas(64) futex::Word started = 0;
  alignas(64) futex::Word summed = 0;
  alignas(64) futex::Word offered =
      0;  // small values. Even and odd ones alternate: when all have offered n, all have read n - 1
  std::array<std::array<std::uint64_t, kMostNumbers>, 2> numbers{};
  std::array<Sum, kMostSums> sums{};  // [s % kMostSums]
};

/// A view; the memory is the caller's.
class Group {
 public:
  /// Over zeros, layout.bytes() of them, aligned to 4096; and over memory that create() has prepared. Throw as Segment does.
  static Group create(std::span<std::byte> memory, const GroupLayout& layout);
  static Group open(std::span<std::byte> memory, const GroupLayout& layout);

  const GroupLayout& layout() const { return layout_; }
  RankPage& page(int rank) const;
  Span<float> sums() const;
  Span<float> contribution(int rank) const;
  const Closing& closing() const;
  /// Ends the group: current and later waits of all ranks throw ExchangeError with the first reason.
  void close(std::string_view reason) const;

 private:
  Group(std::span<std::byte> memory, const GroupLayout& layout);

  GroupLayout layout_;
  std::byte* memory_;
};

/// The sums are of parts of group.contribution(rank); start() throws ExchangeError for other memory. `others`: the processes of
/// the other ranks, null for threads; if one ends, waits throw ExchangeError. The memory and the watch must outlive the result.
std::unique_ptr<AllReduce> make_all_reduce(const Group& group, int rank, const ProcessWatch* others = nullptr);

}  // namespace apam::exchange::shared
