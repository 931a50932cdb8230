#include "apam/training/checkpoint_writer.h"

#include <algorithm>
#include <utility>

#include "apam/exchange/host_values.h"

namespace apam::training {

CheckpointWriter::CheckpointWriter(std::optional<std::int64_t> every, Checkpoint first, const engine::Updater& updater,
                                   RunFolder& folder, Progress& progress)
    : every_(every), next_(std::move(first)), updater_(updater), folder_(folder), progress_(progress) {}

bool CheckpointWriter::due(const exchange::RestPoint& point) const {
  using Why = exchange::Ending::Why;
  if (every_ == 0 || point.update == next_.update) return false;
  if (point.ending) return point.ending->why == Why::interrupted || point.ending->why == Why::deserted;
  return every_ ? point.update / *every_ != next_.update / *every_ : point.at - last_at_ >= kSeconds;
}

void CheckpointWriter::write(const exchange::RestPoint& point, Json metrics) {
  next_.update = point.update;
  next_.batches = point.batches();
  next_.metrics = std::move(metrics);
  next_.files = folder_.sizes();
  next_.states.clear();
  if (point.history == nullptr) {
    next_.states.push_back(exchange::host_values(updater_.arena().state()));
  } else {
    const std::int64_t oldest = std::max<std::int64_t>(0, point.update - point.history->layout().window + 1);
    const bool all = point.history->layout().window > 1;
    for (std::int64_t version = all ? oldest : point.update; version <= point.update; ++version) {
      next_.states.push_back(exchange::host_values(point.history->at(version).state()));
    }
  }
  next_.moments = exchange::host_values(updater_.moments());
  try {
    next_.write(folder_.checkpoint());
  } catch (const InputError& error) {
    progress_.note(fmt::format("apam: warning: no checkpoint of update {}: {}", point.update, error.what()));
  }
  next_.states.clear();
  next_.moments.clear();
  last_at_ = point.at;
}

}  // namespace apam::training
