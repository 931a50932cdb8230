#include "apam/exchange/weight_history.h"

#include <algorithm>
#include <limits>

#include "apam/exchange/error.h"
#include "kernels/runtime/allocating.h"

namespace apam::exchange {
namespace {

const HistoryLayout& checked(const HistoryLayout& layout) {
  const bool in_place = layout.window == 1 && layout.slots == 1;
  require<InputError>(
      in_place || (layout.window >= 1 && layout.slots >= std::max<std::int64_t>(layout.window, 2)),
      "weight history: a window of {} in {} slots, expected a window of at least 1 and max(window, 2) slots, or "
      "1 in 1",
      layout.window, layout.slots);
  return layout;
}

}  // namespace

std::size_t HistoryLayout::bytes() const {
  const auto count = static_cast<std::size_t>(slots);
  const bool fits = state() <= std::numeric_limits<std::size_t>::max() / sizeof(float) / count;
  require<DeviceError>(fits, "weight history: {} versions of {} floats are larger than any memory", slots, state());
  return count * state() * sizeof(float);
}

WritableVersion::~WritableVersion() {
  if (history_ != nullptr) history_->discard(slot_);
}

WeightHistory::WeightHistory(Device device, const HistoryLayout& layout)
    : layout_(checked(layout)),
      memory_(allocating([&] { return Buffer(device, layout.bytes()); },
                         "weight history: {} versions of {} floats need {} bytes, more than can be allocated", layout.slots,
                         layout.state(), layout.bytes())),
      slots_(static_cast<std::size_t>(layout.slots)) {
  lay_out(memory_.as<float>());
}

WeightHistory::WeightHistory(Span<float> memory, const HistoryLayout& layout)
    : layout_(checked(layout)), slots_(static_cast<std::size_t>(layout.slots)) {
  require<InputError>(memory.size_bytes() == layout.bytes(), "weight history: memory of {} bytes for {} versions of {} bytes",
                      memory.size_bytes(), layout.slots, layout.state() * sizeof(float));
  lay_out(memory);
}

void WeightHistory::lay_out(Span<float> memory) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].state = memory.subspan(i * layout_.state(), layout_.state());
    slots_[i].weights = layout_.weights;
    slots_[i].index = static_cast<int>(i);
    retired_.push_back(&slots_[i]);
  }
}

VersionRef WeightHistory::current() const {
  const std::lock_guard lock(mutex_);
  require<ExchangeError>(!kept_.empty(), "weight history: the current version is requested, but none of {} slots has one",
                         slots_.size());
  return VersionRef(kept_.back());
}

VersionRef WeightHistory::at(std::int64_t version) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::lower_bound(kept_.begin(), kept_.end(), version,
                                      [](const detail::VersionSlot* slot, std::int64_t v) { return slot->version < v; });
  require<ExchangeError>(found != kept_.end() && (*found)->version == version,
                         "weight history: version {} is requested, {} versions from {} to {} are kept", version, kept_.size(),
                         kept_.empty() ? -1 : kept_.front()->version, newest_);
  return VersionRef(*found);
}

WritableVersion WeightHistory::begin(int updates, std::optional<int> slot) {
  const std::lock_guard lock(mutex_);
  require<ExchangeError>(updates >= 1, "weight history: the next version is {} updates ahead, expected 1 or more", updates);
  const std::int64_t next = newest_ < 0 ? 0 : newest_ + updates;
  require<ExchangeError>(writing_ < 0, "weight history: version {} is requested for writing, but version {} is being written",
                         next, writing_);
  ConstSpan<float> from;
  if (!kept_.empty()) from = kept_.back()->state;
  if (in_place()) {
    retired_.insert(retired_.end(), kept_.begin(), kept_.end());
    kept_.clear();
  }
  retire(next);
  detail::VersionSlot* const taken = take_unused(next, slot);
  taken->version = next;
  writing_ = next;
  return {*this, from, *taken};
}

const detail::VersionSlot& WeightHistory::slot_at(int slot) const {
  require<ExchangeError>(slot >= 0 && static_cast<std::size_t>(slot) < slots_.size(), "weight history: slot {} of {}", slot,
                         slots_.size());
  return slots_[static_cast<std::size_t>(slot)];
}

VersionRef WeightHistory::in_slot(int slot) const {
  const std::lock_guard lock(mutex_);
  const auto has_index = [slot](const detail::VersionSlot* one) { return one->index == slot && one->version >= 0; };
  if (const auto found = std::ranges::find_if(kept_, has_index); found != kept_.end()) return VersionRef(*found);
  const auto found = std::ranges::find_if(retired_, has_index);
  require<ExchangeError>(found != retired_.end(), "weight history: slot {} of {} has no version", slot, slots_.size());
  return VersionRef(*found);
}

bool WeightHistory::unused(int slot) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(retired_, [slot](const detail::VersionSlot* one) {
    return one->index == slot && one->references.load(std::memory_order_acquire) == 0;
  });
}

/// Of the retired slots, the wanted one or the unused one of the lowest index.
detail::VersionSlot* WeightHistory::take_unused(std::int64_t next, std::optional<int> wanted) {
  auto best = retired_.end();
  for (auto slot = retired_.begin(); slot != retired_.end(); ++slot) {
    // Acquire: the reads of all former references are done.
    if ((*slot)->references.load(std::memory_order_acquire) != 0) continue;
    if (wanted && (*slot)->index != *wanted) continue;
    if (best == retired_.end() || (*slot)->index < (*best)->index) best = slot;
  }
  require<ExchangeError>(best != retired_.end() || !wanted, "weight history: slot {} of {} is in use, version {} is for it",
                         wanted.value_or(-1), slots_.size(), next);
  require<ExchangeError>(best != retired_.end(),
                         "weight history: no slot for version {}: of {} slots, {} are in the window and {} are referred to",
                         next, slots_.size(), kept_.size(), retired_.size());
  detail::VersionSlot* const slot = *best;
  *best = retired_.back();
  retired_.pop_back();
  return slot;
}

void WeightHistory::publish(WritableVersion&& version) {
  require<ExchangeError>(version.history_ == this, "weight history: the version to publish {}",
                         version.history_ == nullptr ? "was moved from or published before" : "belongs to another history");
  const std::lock_guard lock(mutex_);
  version.history_ = nullptr;
  kept_.push_back(std::exchange(version.slot_, nullptr));
  newest_ = kept_.back()->version;
  writing_ = -1;
  retire(newest_);
}

void WeightHistory::publish_first(ConstSpan<float> state, std::int64_t version) {
  WritableVersion first = begin_next();
  require<ExchangeError>(first.version() == 0 && version >= 0,
                         "weight history: version {} is published first, after version {}, expected 0 or more and none",
                         version, first.version() - 1);
  first.slot_->version = version;
  if (state.data() != first.state().data()) copy(state, first.state());
  publish(std::move(first));
}

/// Moves the versions that leave the window of version `next` to the retired ones; never the newest.
void WeightHistory::retire(std::int64_t next) {
  while (kept_.size() > 1 && kept_.front()->version <= next - layout_.window) {
    retired_.push_back(kept_.front());
    kept_.pop_front();
  }
}

void WeightHistory::discard(detail::VersionSlot* slot) {
  const std::lock_guard lock(mutex_);
  retired_.push_back(slot);
  writing_ = -1;
}

}  // namespace apam::exchange
