#include "apam/exchange/error.h"
#include "apam/exchange/shared/transports.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::shared {
namespace {

class SharedWorkerTransport final : public WorkerTransport {
 public:
  SharedWorkerTransport(const Segment& segment, int worker, const ProcessWatch* master, const Stream* steps)
      : segment_(segment), worker_(worker), box_(segment.mailbox(worker)), master_(master), steps_(steps) {}

  void push(const GradientHeader& header, ConstSpan<float> values) override {
    require<ExchangeError>(pushed_ + 1 == pulled_, "shared memory: worker {} pushes gradient {} after {} replies", worker_,
                           pushed_ + 1, pulled_);
    const Span<float> contribution = segment_.contribution(worker_);
    require<ExchangeError>(values.size() == (header.cancelled != 0 ? 0 : contribution.size()),
                           "shared memory: worker {} pushes {} floats, a contribution has {}", worker_, values.size(),
                           contribution.size());
    if (!values.empty() && values.data() != contribution.data()) {
      copy(values, contribution);
      box_.copied_bytes.fetch_add(static_cast<std::int64_t>(values.size_bytes()), std::memory_order_relaxed);
    }
    if (steps_ != nullptr) steps_->synchronize();
    box_.header = header;
    box_.ticket = segment_.control().tickets.fetch_add(1, std::memory_order_relaxed);
    box_.pushed.store(++pushed_, std::memory_order_release);
    futex::signal(segment_.control().arrivals);
  }

  bool cancelled(std::int64_t computed_at) override { return box_.cancelled.load(std::memory_order_relaxed) == computed_at; }

  Delivery pull() override {
    while (!has_reply()) {
      segment_.require_open();
      if (futex::wait(box_.replied, pulled_, kLook) || master_ == nullptr || master_->ended().empty()) continue;
      require<ExchangeError>(has_reply(), "shared memory: worker {} waits for reply {}, but the master's process has ended",
                             worker_, pulled_ + 1);
    }
    ++pulled_;
    const Reply reply = box_.reply;
    check(reply);
    if (reply.verdict == Verdict::stop) return {reply};
    return {reply, segment_.weights(box_.version_slot)};
  }

 private:
  bool has_reply() const {
    const std::uint32_t replied = box_.replied.load(std::memory_order_acquire);
    require<ExchangeError>(replied == pulled_ || replied == pulled_ + 1, "shared memory: worker {} has pulled {} replies of {}",
                           worker_, pulled_, replied);
    return replied != pulled_;
  }

  Segment segment_;
  int worker_;
  Mailbox& box_;
  const ProcessWatch* master_;
  const Stream* steps_;
  std::uint32_t pushed_ = 0, pulled_ = 0;
};

}  // namespace

std::unique_ptr<WorkerTransport> make_worker_transport(const Segment& segment, int worker, const ProcessWatch* master,
                                                       const Stream* steps) {
  return std::make_unique<SharedWorkerTransport>(segment, worker, master, steps);
}

}  // namespace apam::exchange::shared
