// Versions of a model's state, [ weights | running statistics ]. A version is written once, published, and then only read, by
// any number of threads, without copies. Version v is the state after update v; the first one is version 0. Several updates in
// one pass make one version: the numbers grow, but not always by one.
//
//   memory   (slots, weights + statistics) floats, in one allocation or in memory of the caller, for example shared between
//            processes
//   window   let n be the version being written, or else the newest: the published versions among n - window + 1 .. n are
//            readable, and always the newest one
//   slots    a slot is reused if its version has left the window and no VersionRef holds it, the slot of the lowest index
//   first.
//            So memory that is never needed is never touched
//
// With at most R references to versions outside the window at a time, max(window, 2) + R slots always suffice. A master with N
// workers holds at most one version per worker, and each reader of snapshots one more: slots_for() = N + readers + 2.
//
// In place: a history of one slot. The next version is written over the newest one, which nothing may refer to then.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/runtime/buffer.h"

namespace apam::exchange {

/// What a history holds.
struct HistoryLayout {
  std::size_t weights = 0;     ///< floats per version
  std::size_t statistics = 0;  ///< floats per version, behind the weights
  std::int64_t window = 1;     ///< versions that stay readable without a reference
  std::int64_t slots = 2;      ///< versions in memory

  std::size_t state() const { return weights + statistics; }
  /// Of all slots. Throws DeviceError if the number does not fit into std::size_t.
  std::size_t bytes() const;

  /// Slots for a window of 1: `each` versions per worker, one per reader of snapshots, the newest, and the one being written.
  static constexpr std::int64_t slots_for(int workers, int readers, int each = 1) {
    return std::int64_t{workers} * each + readers + 2;
  }
};

namespace detail {

/// Memory of one version.
struct VersionSlot {
  Span<float> state;          // [ weights | running statistics ]
  std::size_t weights = 0;    // floats
  int index = 0;              // in the memory of the history
  std::int64_t version = -1;  // changes only while nothing refers to the slot
  std::atomic<int> references = 0;
};

}  // namespace detail

/// Keeps a published version alive and unchanged. Copies refer to the same memory. Must not outlive the history.
class VersionRef {
 public:
  VersionRef() = default;  ///< refers to nothing: only operator bool, assignment and destruction are allowed
  VersionRef(const VersionRef& other) : slot_(other.slot_) { add(); }
  VersionRef(VersionRef&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  VersionRef& operator=(const VersionRef& other) { return *this = VersionRef(other); }
  VersionRef& operator=(VersionRef&& other) noexcept {
    VersionRef old(std::move(*this));  // released at once
    slot_ = std::exchange(other.slot_, nullptr);
    return *this;
  }
  ~VersionRef() {
    // Release: a writer that sees the slot unused also sees this thread's reads as done.
    if (slot_ != nullptr) slot_->references.fetch_sub(1, std::memory_order_release);
  }

  explicit operator bool() const { return slot_ != nullptr; }
  ConstSpan<float> state() const { return slot_->state; }  // [ weights | running statistics ]
  ConstSpan<float> weights() const { return state().subspan(0, slot_->weights); }
  std::int64_t version() const { return slot_->version; }
  int slot() const { return slot_->index; }  ///< the index of its memory, 0 .. slots-1

 private:
  friend class WeightHistory;
  explicit VersionRef(detail::VersionSlot* slot) : slot_(slot) { add(); }
  void add() {
    if (slot_ != nullptr) slot_->references.fetch_add(1, std::memory_order_relaxed);
  }

  detail::VersionSlot* slot_ = nullptr;
};

class WeightHistory;

/// The version being written. Discarded unless it is published. Move-only. Must not outlive the history.
class WritableVersion {
 public:
  WritableVersion(WritableVersion&& other) noexcept
      : history_(std::exchange(other.history_, nullptr)), from_(other.from_), slot_(std::exchange(other.slot_, nullptr)) {}
  WritableVersion& operator=(WritableVersion&&) = delete;
  ~WritableVersion();

  ConstSpan<float> from() const { return from_; }     ///< the state of the newest version; empty for the first one
  Span<float> state() const { return slot_->state; }  ///< undefined at first; in place: the same memory as from()
  std::int64_t version() const { return slot_->version; }
  int slot() const { return slot_->index; }

 private:
  friend class WeightHistory;
  WritableVersion(WeightHistory& history, ConstSpan<float> from, detail::VersionSlot& slot)
      : history_(&history), from_(from), slot_(&slot) {}

  WeightHistory* history_;  // null after a move or publish()
  ConstSpan<float> from_;
  detail::VersionSlot* slot_;
};

/// Thread-safe. One version at a time is being written.
class WeightHistory {
 public:
  /// Owns its memory. Throws InputError unless window >= 1 and slots >= max(window, 2), or both are 1; DeviceError if the
  /// memory cannot be allocated.
  WeightHistory(Device device, const HistoryLayout& layout);
  /// Over memory of the caller, layout.bytes() large, which must outlive the history. Throws InputError for another size too.
  WeightHistory(Span<float> memory, const HistoryLayout& layout);
  WeightHistory(const WeightHistory&) = delete;
  WeightHistory& operator=(const WeightHistory&) = delete;

  /// The newest published version. Throws ExchangeError before the first, and in place while another is written.
  VersionRef current() const;

  /// Throws ExchangeError if the version does not exist or is not in the window.
  VersionRef at(std::int64_t version) const;

  /// Starts the version that is `updates` after the newest one; the first is version 0. Throws ExchangeError if another one is
  /// being written, or if references hold all slots outside the window.
  WritableVersion begin_next(int updates = 1) { return begin(updates, {}); }
  /// In that slot, if it is unused: for a history that repeats another one.
  WritableVersion begin_next(int updates, int slot) { return begin(updates, slot); }

  /// What a slot holds, also outside the window: for a history that repeats another one, which knows that it is the version
  /// meant. Throws ExchangeError if there is no such slot or it is being written.
  VersionRef in_slot(int slot) const;
  /// Whether a version can be written there, with a window of 1.
  bool unused(int slot) const;
  /// (state) of a slot, for values that other processes write. Throws ExchangeError if there is no such slot.
  Span<float> memory(int slot) const { return slot_at(slot).state; }

  /// Makes the version readable, as the newest. Throws ExchangeError if it was moved from, was published before, or belongs to
  /// another history.
  void publish(WritableVersion&& version);

  /// Publishes the first version: a copy of `state`, or `state` itself if it is the memory of the slot. Of a training that is
  /// continued it may have another number than 0.
  void publish_first(ConstSpan<float> state, std::int64_t version = 0);

  const HistoryLayout& layout() const { return layout_; }
  bool in_place() const { return layout_.slots == 1; }

 private:
  friend class WritableVersion;

  void lay_out(Span<float> memory);
  WritableVersion begin(int updates, std::optional<int> slot);
  const detail::VersionSlot& slot_at(int slot) const;
  detail::VersionSlot* take_unused(std::int64_t next, std::optional<int> slot);
  void retire(std::int64_t next);
  void discard(detail::VersionSlot* slot);

  HistoryLayout layout_;
  Buffer memory_;  // (slots, state); empty over memory of the caller
  std::vector<detail::VersionSlot> slots_;

  mutable std::mutex mutex_;                   // guards the members below
  std::int64_t newest_ = -1;                   // number of the newest published version
  std::deque<detail::VersionSlot*> kept_;      // readable, in order of their versions
  std::vector<detail::VersionSlot*> retired_;  // neither kept nor written
  std::int64_t writing_ = -1;                  // number of the version being written; -1: none
};

}  // namespace apam::exchange
