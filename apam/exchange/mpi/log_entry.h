// What masters tell one another over MPI (shards/pass.h). Plain data, sent as bytes. Only for this folder.
//
// The sequencer sends its log to every follower, in order. Besides passes it has replies, because each master sends its own
// range of the weights, and transfers of a follower's range, because each master has memory of its own. Versions are named by
// their slots in the sequencer's history; a follower's history has the same.
//
// With Order::free there are only transfers and the stop, and slots are those of the sequencer.
#pragma once

#include <cstdint>
#include <type_traits>

#include "apam/exchange/shards/pass.h"
#include "apam/exchange/transport.h"

namespace apam::exchange::mpi {

struct LogEntry {
  enum class Kind : std::uint8_t {
    pass,     ///< executed and reported; a stop is not reported
    reply,    ///< to a worker, with the weights in the slot unless it is a stop
    first,    ///< the follower's range of the first version follows, for the slot
    collect,  ///< the follower sends its range of the version in the slot; free: of its newest, once that is `version` or later
  };
  Kind kind = Kind::pass;
  std::int32_t worker = -1, slot = -1;
  std::int64_t version = 0;
  Reply reply{};
  ShardPass pass{};
};

/// From a follower: the sums of its work.
struct ShardReport {
  std::int64_t executed = 0;           ///< passes of the log; free: 0
  std::int64_t collected = 0;          ///< free: version of the range that was sent last
  std::int64_t non_finite_update = 0;  ///< first pass that left a value that is not finite; 0: none so far
  std::uint64_t non_finite_element = 0;
  std::int64_t copied_bytes = 0;
  double staleness = 0;                 ///< free: mean of its updates
  std::int32_t non_finite_worker = -1;  ///< free: whose gradient it was
  std::int32_t signal = 0;              ///< that arrived there; 0: none
  std::int32_t last = 0;                ///< 1: none follows

  friend bool operator==(const ShardReport&, const ShardReport&) = default;
};

static_assert(std::is_trivially_copyable_v<LogEntry> && std::is_trivially_copyable_v<ShardReport>);

}  // namespace apam::exchange::mpi
