#include <algorithm>
#include <chrono>
#include <vector>

#include "apam/exchange/error.h"
#include "apam/exchange/shared/transports.h"

namespace apam::exchange::shared {
namespace {

using Clock = std::chrono::steady_clock;

class SharedMasterTransport final : public MasterTransport {
 public:
  SharedMasterTransport(const Segment& segment, const ProcessWatch* processes, const Stream* updates)
      : segment_(segment),
        processes_(processes),
        updates_(updates),
        workers_(static_cast<std::size_t>(segment.layout().workers)) {
    arrived_.reserve(workers_.size());
  }

  int workers() const override { return segment_.layout().workers; }
  std::string_view name() const override { return segment_.layout().on_gpus ? kMemoryOfGpus : "shared memory"; }

  std::span<const GradientMessage> poll(Duration timeout) override {
    const auto end = Clock::now() + timeout;
    const futex::Word& arrivals = segment_.control().arrivals;
    while (true) {
      const std::uint32_t seen = arrivals.load(std::memory_order_acquire);
      segment_.require_open();
      collect();
      const Duration left = end - Clock::now();
      if (!arrived_.empty() || left.count() <= 0) return arrived_;
      futex::wait(arrivals, seen, std::min(left, kLook));
    }
  }

  void send(int worker, const Reply& reply, const VersionRef& version) override {
    Mailbox& box = segment_.mailbox(worker);
    Worker& state = state_of(worker);
    if (state.departed) return;
    require<ExchangeError>(state.replied == state.taken, "shared memory: reply {} to worker {} after {} gradients",
                           state.replied + 1, worker, state.taken);
    require<ExchangeError>((reply.verdict == Verdict::stop) == !version, "shared memory: a {} to worker {} {} weights",
                           version ? "stop" : "reply", worker, version ? "with" : "without");
    if (updates_ != nullptr) updates_->synchronize();
    box.reply = reply;
    box.version_slot = version ? version.slot() : -1;
    state.version = version;
    state.stopped = reply.verdict == Verdict::stop;
    box.replied.store(++state.replied, std::memory_order_release);
    futex::wake_all(box.replied);
  }

  void cancel(int worker, std::int64_t computed_at) override {
    segment_.mailbox(worker).cancelled.store(computed_at, std::memory_order_relaxed);
  }

  std::span<const Departure> departed() override {
    departures_.clear();
    const auto now = Clock::now();
    if (processes_ == nullptr || now < look_again_) return departures_;
    look_again_ = now + kLook;
    for (const int worker : processes_->ended()) {
      Worker& state = state_of(worker);
      const bool pending = segment_.mailbox(worker).pushed.load(std::memory_order_acquire) != state.taken;
      if (state.departed || state.stopped || pending) continue;  // pending: poll() returns its last gradient first
      state.departed = true;
      state.version = {};
      departures_.push_back({worker, "its process has ended"});
    }
    return departures_;
  }

  void finish() override {}  // a reply is in place when send() returns, and stays there for its worker

  std::int64_t copied_bytes() const override {
    std::int64_t sum = 0;
    for (int worker = 0; worker < workers(); ++worker)
      sum += segment_.mailbox(worker).copied_bytes.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct Worker {
    std::uint32_t taken = 0, replied = 0;  // gradients and replies so far
    VersionRef version{};                  // that it reads
    bool stopped = false, departed = false;
  };

  Worker& state_of(int worker) { return workers_[static_cast<std::size_t>(worker)]; }

  void collect() {
    arrived_.clear();
    tickets_.clear();
    for (int worker = 0; worker < workers(); ++worker) {
      const Mailbox& box = segment_.mailbox(worker);
      Worker& state = state_of(worker);
      const std::uint32_t pushed = box.pushed.load(std::memory_order_acquire);
      if (pushed == state.taken) continue;
      require<ExchangeError>(pushed == state.taken + 1 && pushed == state.replied,
                             "shared memory: worker {} has pushed {} gradients, of which {} are taken, after {} replies",
                             worker, pushed, state.taken, state.replied);
      state.taken = pushed;
      state.version = {};  // no longer read: the slots suffice even if every gradient of a poll is a pass of its own
      const ConstSpan<float> values = box.header.cancelled != 0 ? ConstSpan<float>() : segment_.contribution(worker);
      // In order of the tickets, which may wrap around.
      const auto later = [&](std::uint32_t other) { return static_cast<std::int32_t>(other - box.ticket) > 0; };
      const auto place = std::find_if(tickets_.begin(), tickets_.end(), later);
      arrived_.insert(arrived_.begin() + (place - tickets_.begin()), {worker, box.header, values});
      tickets_.insert(place, box.ticket);
    }
  }

  Segment segment_;
  const ProcessWatch* processes_;
  const Stream* updates_;
  std::vector<Worker> workers_;
  std::vector<GradientMessage> arrived_;
  std::vector<std::uint32_t> tickets_;  // of arrived_
  std::vector<Departure> departures_;
  Clock::time_point look_again_{};
};

}  // namespace

std::unique_ptr<MasterTransport> make_master_transport(const Segment& segment, const ProcessWatch* processes,
                                                       const Stream* updates) {
  return std::make_unique<SharedMasterTransport>(segment, processes, updates);
}

}  // namespace apam::exchange::shared
