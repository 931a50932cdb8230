#include "apam/exchange/shared/followers.h"

#include <algorithm>

#include "apam/exchange/error.h"
#include "apam/exchange/shared/transports.h"

namespace apam::exchange::shared {
namespace {

class SharedFollowers final : public ShardFollowers {
 public:
  SharedFollowers(const Segment& segment, const engine::ParameterLayout& model, const ProcessWatch* processes)
      : segment_(segment), log_(segment.shard_log()), model_(model), processes_(processes) {}

  void post(const ShardPass& pass) override {
    for (int master = 1; master < masters(); ++master) {
      const std::uint32_t done = segment_.shard_page(master).done.load(std::memory_order_acquire);
      require<ExchangeError>(done == posted_, "shared memory: entry {} for master {}, which has executed {}", posted_ + 1,
                             master, done);
    }
    log_.pass = pass;
    log_.posted.store(++posted_, std::memory_order_release);
    futex::wake_all(log_.posted);
  }

  std::optional<ShardFinding> finish() override {
    std::optional<ShardFinding> first;
    for (int master = 1; master < masters(); ++master) {
      wait_for(master);
      const ShardPage& page = segment_.shard_page(master);
      if (page.non_finite_update == 0 || (first && first->update <= page.non_finite_update)) continue;
      const auto element = static_cast<std::size_t>(page.non_finite_element);
      first = ShardFinding{{page.non_finite_update, tensor_at(model_, element), element}};
    }
    return first;
  }

  int signal() const override {
    int signal = 0;
    for (int master = 1; master < masters() && signal == 0; ++master) {
      signal = segment_.shard_page(master).signal.load(std::memory_order_relaxed);
    }
    return signal;
  }

 private:
  int masters() const { return segment_.layout().masters; }

  void wait_for(int master) {
    const futex::Word& done = segment_.shard_page(master).done;
    while (true) {
      const std::uint32_t seen = done.load(std::memory_order_acquire);
      if (seen == posted_) return;
      segment_.require_open();
      if (futex::wait(done, seen, kLook) || processes_ == nullptr || !has_ended(master)) continue;
      require<ExchangeError>(done.load(std::memory_order_acquire) == posted_,
                             "shared memory: the process of master {} has ended before it executed entry {} of the log", master,
                             posted_);
    }
  }

  bool has_ended(int master) const {
    const auto ended = processes_->ended();
    return std::find(ended.begin(), ended.end(), master - 1) != ended.end();
  }

  Segment segment_;
  ShardLog& log_;
  const engine::ParameterLayout& model_;
  const ProcessWatch* processes_;
  std::uint32_t posted_ = 0;
};

}  // namespace

std::unique_ptr<ShardFollowers> make_followers(const Segment& segment, const engine::ParameterLayout& model,
                                               const ProcessWatch* processes) {
  return std::make_unique<SharedFollowers>(segment, model, processes);
}

Span<float> SegmentMemory::version(int slot) const {
  const std::size_t state = segment_.layout().history.state();
  return segment_.versions().subspan(static_cast<std::size_t>(slot) * state, state);
}

void run_follower(const Segment& segment, int master, ShardFollower& follower, exchange::Control& control,
                  const ProcessWatch* sequencer) {
  const ShardLog& log = segment.shard_log();
  ShardPage& page = segment.shard_page(master);
  std::uint32_t done = 0;
  while (!follower.done()) {
    const std::uint32_t posted = log.posted.load(std::memory_order_acquire);
    if (posted == done) {
      segment.require_open();
      if (const int signal = control.stop_signal(); signal != 0) page.signal.store(signal, std::memory_order_relaxed);
      if (futex::wait(log.posted, posted, kLook) || sequencer == nullptr || sequencer->ended().empty()) continue;
      require<ExchangeError>(log.posted.load(std::memory_order_acquire) != done,
                             "shared memory: master {} waits for entry {} of the log, but the process of master 0 has ended",
                             master, done + 1);
      continue;
    }
    require<ExchangeError>(posted == done + 1, "shared memory: master {} has executed {} entries of {}", master, done, posted);
    follower.take(log.pass);
    if (const auto found = follower.non_finite(); found && page.non_finite_update == 0) {
      page.non_finite_update = found->update;
      page.non_finite_element = found->element;
    }
    page.done.store(++done, std::memory_order_release);
    futex::wake_all(page.done);
  }
}

}  // namespace apam::exchange::shared
