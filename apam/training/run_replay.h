// Repeats a recorded asynchronous run in one process, update by update, and compares it with the record. The bits are the same
// where the processor's instructions are.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "apam/training/progress.h"
#include "apam/training/recorded_run.h"
#include "apam/training/replay_pool.h"
#include "apam/training/run_plan.h"
#include "apam/training/update_sums.h"

namespace apam::training {

class RunReplay final : private exchange::Observer {
 public:
  /// A mean training loss that is not that of the record.
  struct Difference {
    std::int64_t begin = 0, end = 0;  ///< of these updates
    double here = 0, recorded = 0;
  };

  /// `run` and `progress` must outlive the replay. `jobs`: gradients at a time; 0: as many as there are cores for, on a GPU
  /// one. `observer`: see make_run_plan(). Throws like it, and InputError for data other than the run's.
  RunReplay(const RecordedRun& run, Progress& progress, int jobs, const PackObserver& observer = {});

  /// Makes the updates of the record, up to the first version at or after `until`, the first difference, or until gives_up() is
  /// true. Once only. Throws InputError for a record whose events cannot have happened.
  void run(std::optional<std::int64_t> until, const std::function<bool()>& gives_up);

  std::int64_t update() const { return update_; }
  const std::optional<Difference>& difference() const { return difference_; }
  /// The state after run().
  const engine::ParameterArena& arena() const { return *arena_; }
  /// Mini-batches in the running statistics, for a file of weights.
  std::int64_t batches_tracked() const { return plan_.initial.batches_tracked + update_; }

 private:
  void on_update(const exchange::UpdateRecord& record) override;
  void on_snapshot(const exchange::StateSnapshot& /*snapshot*/) override {}

  int default_jobs() const;
  void begin(int workers);
  void show();
  double now() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

  const RecordedRun& run_;
  Progress& progress_;
  TrainOptions options_;
  std::vector<std::vector<int>> threads_;  // by start and worker
  RunPlan plan_;
  std::optional<Exec> exec_;  // of the updates
  std::optional<engine::ParameterArena> arena_;
  std::optional<engine::Updater> updater_;

  // Of the current start. Pool and workers refer to versions of the history.
  std::size_t starts_ = 0;
  std::optional<exchange::WeightHistory> history_;
  std::optional<ReplayPool> pool_;
  std::optional<exchange::MasterState> master_;
  std::optional<exchange::ReplayedWorkers> workers_;

  std::int64_t update_ = 0;
  UpdateSums line_, recent_;
  std::size_t lines_ = 0;  // of the record, compared
  std::optional<Difference> difference_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace apam::training
