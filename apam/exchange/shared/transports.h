// The exchange through memory that all ranks of one host map (segment.h). No value is copied: a worker computes on a version
// where the master has written it, and writes its contribution where the master reads it.
//
//   worker   push: header, pushed + 1 (release), arrivals + 1, wake        pull: sleep until replied + 1, read reply (acquire)
//   master   poll: sleep until arrivals changes, collect (acquire)         send: reply, replied + 1 (release), wake
//
// Waiting ranks sleep on a futex. At most every kLook they wake up to see whether the other side still runs, by pidfd: a worker
// whose process ends departs, at any point of a step, and the master continues without it; a worker whose master has ended
// throws.
//
// Ranks on GPUs do the same with values in the memory of their GPUs: the master's kernels read contributions, and workers copy
// versions, through CUDA IPC. Hosts order it: a rank announces only what its GPU has finished.
#pragma once

#include <memory>

#include "apam/exchange/shared/segment.h"
#include "kernels/runtime/process_watch.h"

namespace apam::exchange::shared {

constexpr Duration kLook = std::chrono::milliseconds(100);

/// `processes`: of the workers, by worker; null for threads of one process. Both sides throw ExchangeError for a sequence
/// number that cannot be, and if the exchange was closed. The memory of the segment and the watched processes must outlive the
/// transports. With values on GPUs, `updates` is the stream of updates, and `steps` that of a worker's steps; a reply waits for
/// the updates before it, a gradient for its step.
std::unique_ptr<MasterTransport> make_master_transport(const Segment& segment, const ProcessWatch* processes = nullptr,
                                                       const Stream* updates = nullptr);

/// `master`: its process. push() copies values that are not in segment.contribution(worker) there, and counts them.
std::unique_ptr<WorkerTransport> make_worker_transport(const Segment& segment, int worker, const ProcessWatch* master = nullptr,
                                                       const Stream* steps = nullptr);

}  // namespace apam::exchange::shared
