// For tests of shared memory: a segment for threads and forked processes, and a master over it.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "apam/exchange/shared/segment.h"
#include "apam/exchange/shared/transports.h"
#include "apam/exchange/worker.h"
#include "kernels/runtime/shared_memory.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {

inline const QuadraticOptions kSharedModel{.sizes = {33, 5, 70}, .channels = 3, .rows = 6, .spread = 1.5F};

inline shared::SegmentLayout layout_for(int workers, int masters = 1) {
  return {workers, history_layout(kSharedModel, workers), masters};
}

/// Memory for the threads of this process and the children that it forks.
struct LocalSegment {
  explicit LocalSegment(int workers, int masters = 1)
      : layout(layout_for(workers, masters)),
        memory(SharedMemory::anonymous("test", layout.bytes())),
        segment(shared::Segment::create({memory.data(), memory.size_bytes()}, layout)) {}

  shared::SegmentLayout layout;
  SharedMemory memory;
  shared::Segment segment;
};

/// A master over the versions of a segment.
struct SharedMaster {
  SharedMaster(const shared::Segment& segment, const Schedule& schedule,
               const engine::OptimizerOptions& options = amsgrad(0.01))
      : arena({}, quadratic_layout(kSharedModel), engine::ParameterArena::Contents::state),
        updater(exec, arena, options),
        history(segment.versions(), segment.layout().history) {
    arena.initialize(0);
    history.publish_first(arena.state());
    master.emplace(updater, history, MasterOptions{.workers = segment.layout().workers, .schedule = schedule});
  }

  std::vector<float> state() const { return values(history.current().state()); }

  Exec exec = plain_exec();
  engine::ParameterArena arena;
  engine::Updater updater;
  WeightHistory history;
  std::optional<MasterState> master;
  Recorder recorder;
  ScriptedControl control;
};

/// A worker over a segment, in this thread or process. Each gradient takes `delay`.
inline void work(const shared::Segment& segment, int worker, std::chrono::milliseconds delay) {
  QuadraticOptions options = kSharedModel;
  options.delay = delay;
  QuadraticSource source(options);
  source.use_outgoing(segment.contribution(worker));
  NullControl none;
  Worker(source).run(*make_worker_transport(segment, worker), none);
}

}  // namespace apam::exchange::test
