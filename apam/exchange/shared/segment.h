// The memory that the ranks of one host share in asynchronous training, and which side writes which part.
//
//   control         one                      layout, arrivals of gradients, reason of a failure
//   mailboxes       one per worker           headers in both directions
//   shards          M masters, M > 1         the log of the sequencer (followers.h), a page per follower
//   versions        (slots, state)           written by the masters (weight_history.h), read in place by workers
//   contributions   one per worker, (state)  written by its worker, read in place by the masters
//
//   bytes = 4096 + pages(workers * 256) + shards + pages(slots * state * 4) + workers * pages(state * 4)
//   shards = M * 4096, 0 for one master
//   pages(b) = b rounded up to 4096      state = weights + statistics, in floats      slots = HistoryLayout::slots_for()
//
// Of ranks on GPUs, versions and contributions are memory of the GPUs (GpuValues), each allocated by the rank that writes it
// and mapped by those that read it.
//
// A mailbox belongs to its worker from a reply to the next gradient, and otherwise to the master. Ownership passes with a
// sequence number that is written last (release) and read first (acquire), so that what it announces is complete: a worker that
// ends in the middle of a step leaves a number that has not changed. Nothing else is shared, and there is no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "apam/exchange/shards/pass.h"
#include "apam/exchange/shared/closing.h"
#include "apam/exchange/transport.h"
#include "apam/exchange/weight_history.h"
#include "kernels/runtime/futex.h"

namespace apam::exchange::shared {

/// What all ranks must agree on.
struct SegmentLayout {
  int workers = 0;
  HistoryLayout history{};  ///< weights and statistics are multiples of 16, as those of a ParameterLayout
  int masters = 1;          ///< the sequencer and its followers
  bool on_gpus = false;     ///< versions and contributions, which are then not in the segment

  /// Throws InputError without workers or masters or for sizes that are no multiple of 16, DeviceError if the result does not
  /// fit.
  std::size_t bytes() const;

  /// With on_gpus: of versions and contributions, on all GPUs together.
  std::size_t gpu_bytes() const;

  std::size_t versions_offset() const;
  std::size_t versions_bytes() const;  ///< whole pages
  std::size_t contribution_offset(int worker) const;
};

/// A gradient and a reply on their way, without their values.
struct alignas(256) Mailbox {
  // Written by the worker.
  GradientHeader header;
  std::uint32_t ticket = 0;                    // order of arrival
  std::atomic<std::int64_t> copied_bytes = 0;  // of its contributions, so far
  futex::Word pushed = 0;                      // gradients so far; last
  // Written by the master.
  alignas(64) Reply reply;
  std::int32_t version_slot = -1;            // where the weights are; -1: none
  std::atomic<std::int64_t> cancelled = -1;  // computations on this version are to be given up
  alignas(64) futex::Word replied = 0;       // replies so far; last. The worker waits here
};

/// The entry of the log that followers execute, or the latest one. Written by the sequencer while no follower executes one.
struct ShardLog {
  ShardPass pass;
  alignas(64) futex::Word posted = 0;  // entries so far; last. Followers wait here
};

/// Written by its follower.
struct ShardPage {
  std::int64_t non_finite_update = 0;  // first pass that left a value that is not finite; 0: none so far
  std::uint64_t non_finite_element = 0;
  std::atomic<std::int32_t> signal = 0;  // that arrived there; 0: none
  alignas(64) futex::Word done = 0;      // entries executed so far; last. The sequencer waits here
};

struct Control {
  std::uint64_t magic = 0;  // written last
  std::int32_t workers = 0, masters = 0;
  std::int64_t slots = 0;
  std::uint64_t weights = 0, statistics = 0;
  alignas(64) futex::Word tickets = 0;   // drawn by workers
  alignas(64) futex::Word arrivals = 0;  // gradients of all workers so far. The master waits here
  alignas(64) Closing closing;
};

/// Where versions and contributions are, if they are memory of GPUs, as this rank sees them.
struct GpuValues {
  Span<float> versions;                    ///< (slots, state)
  std::vector<Span<float>> contributions;  ///< (state), by worker; empty for those that this rank does not touch
};

/// A view; the memory is the caller's.
class Segment {
 public:
  /// Over zeros, layout.bytes() of them, aligned to 4096. Throws InputError for another size.
  static Segment create(std::span<std::byte> memory, const SegmentLayout& layout);
  /// Over memory that create() has prepared. Throws ExchangeError if it was for another layout.
  static Segment open(std::span<std::byte> memory, const SegmentLayout& layout);

  /// With layout.on_gpus, before the first use of versions and contributions. Throws InputError for other sizes.
  void use(GpuValues values);

  const SegmentLayout& layout() const { return layout_; }
  Control& control() const { return *control_; }
  Mailbox& mailbox(int worker) const;
  ShardLog& shard_log() const;                 // of more than one master
  ShardPage& shard_page(int master) const;     // of a follower, 1 .. masters-1
  Span<float> versions() const;                // (slots, state)
  ConstSpan<float> weights(int slot) const;    // (weights)
  Span<float> contribution(int worker) const;  // (state)

  /// Ends the exchange: current and later waits of all sides throw ExchangeError with the first reason.
  void close(std::string_view reason) const;
  /// Throws it if the exchange was closed.
  void require_open() const;

 private:
  Segment(std::span<std::byte> memory, const SegmentLayout& layout);

  SegmentLayout layout_;
  GpuValues gpu_values_;
  std::byte* memory_;
  Control* control_;
};

}  // namespace apam::exchange::shared
