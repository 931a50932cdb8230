// The messages that a contribution [ gradients | batch statistics ] travels in.
//
// Backward finishes the last layers first, so the gradients are cut from their end into parts of MessageSizes::part floats; the
// last of them, which begins at 0, may be smaller. The batch statistics follow as one more part, if there are any. Parts are
// sent in this order, and both sides derive it from the sizes.
//
//   gradients   [ 3 |  part 2  |  part 1  |  part 0  ]   statistics  [ part 4 ]
//
// Of several masters each range is cut in this way, the last one first.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "apam/exchange/mpi/transports.h"
#include "apam/exchange/shards/range.h"

namespace apam::exchange::mpi {

/// Floats [offset, offset + count) of the contribution.
struct Part {
  std::size_t offset = 0, count = 0;
  int master = 0;  ///< that receives it
  friend bool operator==(const Part&, const Part&) = default;
};

/// By master. Throws InputError as split_state().
std::vector<ShardRange> ranges_of(const MessageSizes& sizes);

/// In the order in which they are sent. Throws ExchangeError unless parts have floats, and a contribution at least as many as
/// the weights; InputError as ranges_of().
std::vector<Part> parts_of(const MessageSizes& sizes);

/// Those of one master, in the same order.
std::vector<Part> parts_of(const MessageSizes& sizes, int master);

/// How many of them are complete once the gradients from float `from` on are; the batch statistics never are.
std::size_t complete_parts(std::span<const Part> parts, const MessageSizes& sizes, std::size_t from);

}  // namespace apam::exchange::mpi
