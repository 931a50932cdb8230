#include "apam/training/checkpoint_writer.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "kernels/runtime/host_values.h"

namespace apam::training {

namespace {

/// The versions that a run keeps readable, one after another.
class States {
 public:
  States(const exchange::RestPoint& point, const engine::Updater& updater) {
    const std::int64_t window = point.history == nullptr ? 1 : point.history->layout().window;
    if (window == 1) {
      if (point.history != nullptr) newest_ = point.history->current();
      one_.emplace(newest_ ? newest_.state() : ConstSpan<float>(updater.arena().state()));
      return;
    }
    versions_ = std::min(window, point.update + 1);
    for (std::int64_t version = point.update - versions_ + 1; version <= point.update; ++version) {
      const std::vector<float> state = host_values(point.history->at(version).state());
      several_.insert(several_.end(), state.begin(), state.end());
    }
  }

  std::int64_t versions() const { return versions_; }
  std::span<const float> values() const { return one_ ? one_->all() : several_; }

 private:
  exchange::VersionRef newest_;
  std::int64_t versions_ = 1;
  std::optional<HostValues> one_;
  std::vector<float> several_;
};

}  // namespace

CheckpointWriter::CheckpointWriter(std::optional<std::int64_t> every, Checkpoint first, const engine::Updater& updater,
                                   RunFolder& folder, Progress& progress)
    : every_(every),
      next_(std::move(first)),
      copied_before_(next_.copied_bytes),
      updater_(updater),
      folder_(folder),
      progress_(progress) {}

bool CheckpointWriter::due(const exchange::RestPoint& point) const {
  using Why = exchange::Ending::Why;
  if (every_ == 0 || point.update == next_.update) return false;
  if (point.ending) return point.ending->why == Why::interrupted || point.ending->why == Why::deserted;
  return every_ ? point.update / *every_ != next_.update / *every_ : point.at - last_at_ >= kSeconds;
}

void CheckpointWriter::write(const exchange::RestPoint& point, Json metrics) {
  next_.update = point.update;
  next_.batches = point.batches();
  next_.copied_bytes = copied_before_ + (point.copied_bytes ? point.copied_bytes() : 0);
  next_.metrics = std::move(metrics);
  next_.files = folder_.sizes();
  try {
    const States states(point, updater_);
    const HostValues moments(updater_.moments());
    next_.write(folder_.checkpoint(), {states.versions(), states.values(), moments.all()});
  } catch (const InputError& error) {
    progress_.note(fmt::format("apam: warning: no checkpoint of update {}: {}", point.update, error.what()));
  }
  last_at_ = point.at;
}

}  // namespace apam::training
