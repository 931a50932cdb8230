// What a rank did and when: events with a begin and an end, kept in a fixed buffer. Drivers and decorators (traced.h) record;
// the algorithm has no clock. A track belongs to one thread, and its events neither overlap nor need a lock.
//
//   kind         version                   number                 worker
//   batch        -                         mini-batch             -         waiting for the images of a mini-batch
//   compute      -                         mini-batch             -         forward and backward
//   push         computed on               mini-batch             -         handing a gradient to the transport
//   pull         of the weights received   -                      -         waiting for the reply and its weights
//   wait         -                         gradients arrived      -         the master waits, and receives
//   gradient     computed on               mini-batch             whose     mark: a gradient was taken from the transport
//   pass         of the weights after it   updates of the pass    -         updates, with the bookkeeping around them
//   reply        of the weights sent       1: a stop              its       handing a reply to the transport
//   snapshot     of the state              -                      -         observers of a snapshot
//   evaluation   of the state              -                      -         scoring
//   all_reduce   -                         -                      -         waiting for the sums of gradients
//   headers      -                         -                      -         summing losses and counts; waits for all ranks
//   update       of the weights after it   -                      -         update without a master (local, sync)
//
// Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a host share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace apam::exchange {

enum class TraceKind : std::uint8_t {
  batch,
  compute,
  push,
  pull,
  wait,
  gradient,
  pass,
  reply,
  snapshot,
  evaluation,
  all_reduce,
  headers,
  update,
};
constexpr std::size_t kTraceKinds = 13;

/// Plain data, sent as bytes.
struct TraceEvent {
  std::int64_t begin = 0, end = 0;
  std::int64_t version = -1, number = -1;  ///< -1: the kind has none, or it is unknown
  std::int32_t worker = -1;
  TraceKind kind = TraceKind::batch;
};

/// How a kind is shown.
struct TraceKindInfo {
  std::string_view name;
  std::string_view number{};  ///< what TraceEvent::number is; empty: nothing
  bool mark = false;          ///< has no duration
};
const TraceKindInfo& info(TraceKind kind);

class TraceTrack {
 public:
  /// Keeps the first `capacity` events. Allocates and touches their memory: add() does neither.
  TraceTrack(std::string name, std::size_t capacity) : name_(std::move(name)), events_(capacity) {}

  static std::int64_t now();

  void add(const TraceEvent& event) {
    auto& total = totals_[static_cast<std::size_t>(event.kind)];
    total += event.end - event.begin;
    last_end_ = event.end;
    if (kept_ < events_.size()) {
      events_[kept_++] = event;
    } else {
      ++dropped_;
    }
  }

  const std::string& name() const { return name_; }
  std::span<const TraceEvent> events() const { return std::span(events_).first(kept_); }
  /// Events that came after the buffer was full.
  std::int64_t dropped() const { return dropped_; }
  /// End of the latest event, dropped or not; 0: none.
  std::int64_t last_end() const { return last_end_; }
  /// Total duration of the events of a kind, those that were dropped included.
  double seconds(TraceKind kind) const { return 1e-9 * static_cast<double>(totals_[static_cast<std::size_t>(kind)]); }

 private:
  std::string name_;
  std::vector<TraceEvent> events_;
  std::size_t kept_ = 0;
  std::int64_t dropped_ = 0, last_end_ = 0;
  std::array<std::int64_t, kTraceKinds> totals_{};
};

/// An event from construction to destruction. Without a track it does nothing.
class TraceScope {
 public:
  TraceScope(TraceTrack* track, TraceKind kind) : track_(track) {
    event.kind = kind;
    if (track_ != nullptr) event.begin = TraceTrack::now();
  }
  ~TraceScope() {
    if (track_ == nullptr) return;
    event.end = TraceTrack::now();
    track_->add(event);
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

  TraceEvent event;

 private:
  TraceTrack* track_;
};

}  // namespace apam::exchange
