#include "apam/exchange/weight_history.h"

#include <algorithm>
#include <limits>

#include "apam/exchange/error.h"
#include "kernels/runtime/allocating.h"

namespace apam::exchange {
namespace {

Buffer allocate(Device device, std::size_t size, std::int64_t window, std::int64_t slots) {
  require<InputError>(window >= 1 && slots >= std::max<std::int64_t>(window, 2),
                      "weight history: a window of {} in {} slots, expected a window of at least 1 and max(window, 2) slots",
                      window, slots);
  const auto count = static_cast<std::size_t>(slots);
  const bool fits = size <= std::numeric_limits<std::size_t>::max() / sizeof(float) / count;
  require<DeviceError>(fits, "weight history: {} versions of {} floats are larger than any memory", slots, size);
  return allocating([&] { return Buffer(device, count * size * sizeof(float)); },
                    "weight history: {} versions of {} floats need {} bytes, more than can be allocated", slots, size,
                    count * size * sizeof(float));
}

}  // namespace

WritableVersion::~WritableVersion() {
  if (history_ != nullptr) history_->discard(slot_);
}

WeightHistory::WeightHistory(Device device, std::size_t size, std::int64_t window, std::int64_t slots)
    : window_(window), memory_(allocate(device, size, window, slots)), slots_(static_cast<std::size_t>(slots)) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].weights = memory_.as<float>().subspan(i * size, size);
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
  require<ExchangeError>(version >= first_ && version <= newest(),
                         "weight history: version {} is requested, versions {} to {} are kept", version, first_, newest());
  return VersionRef(kept_[static_cast<std::size_t>(version - first_)]);
}

WritableVersion WeightHistory::begin_next() {
  const std::lock_guard lock(mutex_);
  const std::int64_t next = newest() + 1;
  require<ExchangeError>(!writing_, "weight history: version {} is requested for writing, but version {} is being written",
                         next + 1, next);
  retire(next);
  // Acquire: the reads of all former references are done.
  const auto unused = std::find_if(retired_.begin(), retired_.end(), [](const detail::VersionSlot* slot) {
    return slot->references.load(std::memory_order_acquire) == 0;
  });
  require<ExchangeError>(unused != retired_.end(),
                         "weight history: no slot for version {}: of {} slots, {} are in the window and {} are referred to",
                         next, slots_.size(), kept_.size(), retired_.size());
  detail::VersionSlot* const slot = *unused;
  retired_.erase(unused);
  slot->version = next;
  writing_ = true;
  return {*this, *slot};
}

void WeightHistory::publish(WritableVersion&& version) {
  require<ExchangeError>(version.history_ == this, "weight history: the version to publish {}",
                         version.history_ == nullptr ? "was moved from or published before" : "belongs to another history");
  const std::lock_guard lock(mutex_);
  version.history_ = nullptr;
  kept_.push_back(std::exchange(version.slot_, nullptr));
  writing_ = false;
  retire(newest());
}

/// Moves the versions that leave the window of version `next` to the retired ones; never the newest.
void WeightHistory::retire(std::int64_t next) {
  while (kept_.size() > 1 && first_ <= next - window_) {
    retired_.push_back(kept_.front());
    kept_.pop_front();
    ++first_;
  }
}

void WeightHistory::discard(detail::VersionSlot* slot) {
  const std::lock_guard lock(mutex_);
  retired_.push_front(slot);
  writing_ = false;
}

}  // namespace apam::exchange
