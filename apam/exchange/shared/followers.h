// Sharded masters through shared memory: the sequencer gives an entry of the log (shards/pass.h) to all followers, updates its
// own range, and waits for theirs. Contributions are read and versions written in place, each master its range.
//
//   sequencer   post: pass, posted + 1 (release), wake      finish: sleep until done == posted of every follower (acquire)
//   follower    sleep until posted == done + 1 (acquire)    take(pass): read contributions, write the version
//               done + 1 (release), wake
//
// What a worker wrote before its gradient arrived is visible to followers through the sequencer, and what they wrote is visible
// to workers through its reply. The next entry is written when all have executed this one, so one place is enough.
#pragma once

#include <memory>

#include "apam/exchange/control.h"
#include "apam/exchange/shards/follower.h"
#include "apam/exchange/shared/segment.h"
#include "kernels/runtime/process_watch.h"

namespace apam::exchange::shared {

/// The sequencer's side. `model`: names what is not finite. `processes`: of the followers, in order; null for threads. finish()
/// throws ExchangeError if one of them has ended or the exchange was closed. All must outlive the result.
std::unique_ptr<ShardFollowers> make_followers(const Segment& segment, const engine::ParameterLayout& model,
                                               const ProcessWatch* processes = nullptr);

/// Contributions and versions of a segment, for a ShardFollower.
class SegmentMemory final : public ShardMemory {
 public:
  explicit SegmentMemory(const Segment& segment) : segment_(segment) {}
  int workers() const override { return segment_.layout().workers; }
  int slots() const override { return static_cast<int>(segment_.layout().history.slots); }
  ConstSpan<float> contribution(int worker) const override { return segment_.contribution(worker); }
  Span<float> version(int slot) const override;

 private:
  Segment segment_;
};

/// Executes the log as master `master` = 1 .. masters-1 until its stop. Hands a signal of `control` to the sequencer. Throws
/// ExchangeError if the sequencer's process has ended or the exchange was closed; passes on exceptions of the follower.
void run_follower(const Segment& segment, int master, ShardFollower& follower, exchange::Control& control,
                  const ProcessWatch* sequencer = nullptr);

}  // namespace apam::exchange::shared
