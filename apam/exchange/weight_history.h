// Versions of the flat weights. A version is written once, published, and then only read, by any number of threads, without
// copies. Version v is the weights after update v; the first one is version 0.
//
//   memory   slots * size floats, in one allocation
//   window   let n be the version being written, or else the newest: the published versions among n - window + 1 .. n are
//            readable, and always the newest one
//   slots    a slot is reused if its version has left the window and no VersionRef holds it
//
// With at most R references to versions outside the window at a time, max(window, 2) + R slots always suffice.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/runtime/buffer.h"

namespace apam::exchange {

namespace detail {

/// Memory of one version.
struct VersionSlot {
  Span<float> weights;        // (size)
  std::int64_t version = -1;  // changes only while nothing refers to the slot
  std::atomic<int> references = 0;
};

}  // namespace detail

/// Keeps a published version alive and unchanged. Copies refer to the same memory. Must not outlive the history.
class VersionRef {
 public:
  VersionRef(const VersionRef& other) : slot_(other.slot_) { add(); }
  VersionRef(VersionRef&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  VersionRef& operator=(const VersionRef& other) { return *this = VersionRef(other); }
  VersionRef& operator=(VersionRef&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~VersionRef() {
    // Release: a writer that sees the slot unused also sees this thread's reads as done.
    if (slot_ != nullptr) slot_->references.fetch_sub(1, std::memory_order_release);
  }

  ConstSpan<float> weights() const { return slot_->weights; }
  std::int64_t version() const { return slot_->version; }

 private:
  friend class WeightHistory;
  explicit VersionRef(detail::VersionSlot* slot) : slot_(slot) { add(); }
  void add() {
    if (slot_ != nullptr) slot_->references.fetch_add(1, std::memory_order_relaxed);
  }

  detail::VersionSlot* slot_;  // null after a move
};

class WeightHistory;

/// The version being written; its values are undefined at first. Discarded unless it is published. Move-only. Must not outlive
/// the history.
class WritableVersion {
 public:
  WritableVersion(WritableVersion&& other) noexcept
      : history_(std::exchange(other.history_, nullptr)), slot_(std::exchange(other.slot_, nullptr)) {}
  WritableVersion& operator=(WritableVersion&&) = delete;
  ~WritableVersion();

  Span<float> weights() const { return slot_->weights; }
  std::int64_t version() const { return slot_->version; }

 private:
  friend class WeightHistory;
  WritableVersion(WeightHistory& history, detail::VersionSlot& slot) : history_(&history), slot_(&slot) {}

  WeightHistory* history_;  // null after a move or publish()
  detail::VersionSlot* slot_;
};

/// Thread-safe. One version at a time is being written.
class WeightHistory {
 public:
  /// `size`: floats per version. Throws InputError unless window >= 1 and slots >= max(window, 2); DeviceError if the memory
  /// cannot be allocated.
  WeightHistory(Device device, std::size_t size, std::int64_t window, std::int64_t slots);
  WeightHistory(const WeightHistory&) = delete;
  WeightHistory& operator=(const WeightHistory&) = delete;

  /// The newest published version. Throws ExchangeError before the first.
  VersionRef current() const;

  /// Throws ExchangeError if the version is not in the window.
  VersionRef at(std::int64_t version) const;

  /// Starts the version after the newest one. Throws ExchangeError if another one is being written, or if references hold all
  /// slots outside the window.
  WritableVersion begin_next();

  /// Makes the version readable, as the newest. Throws ExchangeError if it was moved from, was published before, or belongs to
  /// another history.
  void publish(WritableVersion&& version);

  std::size_t bytes() const { return memory_.size_bytes(); }

 private:
  friend class WritableVersion;

  std::int64_t newest() const { return first_ + static_cast<std::int64_t>(kept_.size()) - 1; }
  void retire(std::int64_t next);
  void discard(detail::VersionSlot* slot);

  std::int64_t window_;
  Buffer memory_;  // (slots, size)
  std::vector<detail::VersionSlot> slots_;

  mutable std::mutex mutex_;                  // guards the members below
  std::int64_t first_ = 0;                    // the oldest readable version
  std::deque<detail::VersionSlot*> kept_;     // versions first_, first_ + 1, ... newest()
  std::deque<detail::VersionSlot*> retired_;  // the slots that are neither kept nor written, longest retired first
  bool writing_ = false;
};

}  // namespace apam::exchange
