// The contract between synchronous training with backup ranks (backup_ranks.h) and the memory that its ranks share. Which K of
// N contributions make an update is decided here: the first K that are offered.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "apam/exchange/transport.h"
#include "kernels/runtime/span.h"

namespace apam::exchange {

/// One of the K contributions of an update.
struct EarlyGradient {
  int rank = 0;
  GradientHeader header;
};

/// What the K contributions of an update are together. Valid until the rank releases the update.
struct FirstSum {
  std::span<const EarlyGradient> arrivals;  ///< K, in ascending order of the ranks
  ConstSpan<float> values;                  ///< [ sum of the gradients | mean of the batch statistics, weighted by rows ]
};

/// One rank's end. Updates are numbered from 1; a rank takes and releases each of them, in order.
class FirstArrivals {
 public:
  virtual ~FirstArrivals() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;
  virtual int first() const = 0;              ///< K
  virtual std::string_view name() const = 0;  ///< for reports

  /// Copies the values of rank 0, as many as a contribution has, to all ranks. Before the first update. Blocks.
  virtual void broadcast(Span<float> values) = 0;

  /// Whether K ranks have offered a contribution to the update: another one would be late. Never waits.
  virtual bool complete(std::int64_t update) const = 0;

  /// Offers this rank's contribution. True: it is one of the first K, and its memory is in use until take() returns. False: it
  /// is late; it is dropped, and counted. Waits for ranks that are too many updates behind to be offered this one. A signal in
  /// the header, late or not, is also in the header of the next contribution that is not late.
  virtual bool offer(std::int64_t update, const GradientHeader& header) = 0;

  /// Waits until the K contributions are there and are summed, in order of the ranks. The ranks that offered them do that
  /// together. All ranks get the same bits.
  virtual FirstSum take(std::int64_t update) = 0;

  /// Throws ExchangeError if another rank has passed another number for this update. Between take() and release().
  virtual void compare(std::int64_t update, std::uint64_t checksum) = 0;

  /// This rank no longer reads what take() returned.
  virtual void release(std::int64_t update) = 0;

  /// Waits until all ranks have released this update, the last one.
  virtual void finish(std::int64_t update) = 0;

  /// Contributions of all ranks that were late so far.
  virtual std::int64_t late() const = 0;
};

}  // namespace apam::exchange
