// The master's side. Each worker has a slot: a buffer for its contribution, the version of the weights sent to it, and five
// requests. A gradient has arrived when its header and its values have, in either order.
#include <chrono>
#include <exception>

#include "apam/exchange/mpi/protocol.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::mpi {
namespace {

constexpr std::size_t kRequests = 5;  // per worker, in the order of Tag
enum Place : std::size_t { kHeaderReceive, kValuesReceive, kReplySend, kWeightsSend, kCancelSend };

struct Slot {
  GradientHeader header;
  Reply reply;
  Buffer values;       // (contribution)
  VersionRef version;  // in flight to the worker, or computed on
  std::int64_t cancelled = 0;
  int values_bytes = 0;  // received
  int missing = 0;       // parts of the gradient that have not arrived: 2, 1 or 0
};

class MpiMasterTransport final : public MasterTransport {
 public:
  explicit MpiMasterTransport(const MessageSizes& sizes)
      : sizes_(sizes), requests_(kRequests * static_cast<std::size_t>(communicator_.ranks() - 1)) {
    require<ExchangeError>(communicator_.rank() == kMaster, "mpi: rank {} cannot be the master", communicator_.rank());
    require<ExchangeError>(communicator_.ranks() >= 2, "mpi: a master and a worker need 2 ranks, there is {}",
                           communicator_.ranks());
    agree_on_sizes(communicator_, sizes);
    slots_ = std::make_unique<std::vector<Slot>>(static_cast<std::size_t>(workers()));
    for (Slot& slot : *slots_) slot.values = Buffer({}, sizes.contribution * sizeof(float));
  }

  ~MpiMasterTransport() override {
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(slots_.release());
  }
  MpiMasterTransport(const MpiMasterTransport&) = delete;
  MpiMasterTransport& operator=(const MpiMasterTransport&) = delete;

  int workers() const override { return communicator_.ranks() - 1; }
  std::string_view name() const override { return "mpi (host buffers)"; }

  std::span<const GradientMessage> poll(Duration timeout) override {
    const auto end = std::chrono::steady_clock::now() + timeout;
    Backoff backoff;
    do {
      progress(backoff);
    } while (arrived_.empty() && std::chrono::steady_clock::now() < end);
    handed_.clear();
    std::swap(arrived_, handed_);
    for (const GradientMessage& message : handed_) {
      wait_for_sends(message.worker);  // returns at once: the worker has answered them
      (*slots_)[static_cast<std::size_t>(message.worker)].version = {};
    }
    return handed_;
  }

  void send(int worker, const Reply& reply, const VersionRef& version) override {
    Slot& slot = slots_->at(static_cast<std::size_t>(worker));
    require<ExchangeError>(static_cast<bool>(version) == (reply.verdict == Verdict::proceed),
                           "mpi: a reply to worker {} {} weights", worker, version ? "to stop has" : "to proceed has no");
    std::span<const float> weights;
    if (version) weights = version.weights().host();
    require<ExchangeError>(!version || weights.size() == sizes_.weights, "mpi: {} weights for messages of {}", weights.size(),
                           sizes_.weights);
    slot.reply = reply;
    if (version) post_receives(worker);
    check(MPI_Isend(&slot.reply, sizeof(Reply), MPI_BYTE, rank_of(worker), kReply, communicator_.get(),
                    requests_.place(place(worker, kReplySend))),
          "MPI_Isend of a reply");
    if (!version) return;
    slot.version = version;
    copied_bytes_ += static_cast<std::int64_t>(weights.size_bytes());
    check(MPI_Isend(weights.data(), count(sizes_.weights, "weights"), MPI_FLOAT, rank_of(worker), kWeights, communicator_.get(),
                    requests_.place(place(worker, kWeightsSend))),
          "MPI_Isend of weights");
  }

  void cancel(int worker, std::int64_t computed_at) override {
    Slot& slot = slots_->at(static_cast<std::size_t>(worker));
    if (requests_.active(place(worker, kCancelSend))) return;  // the worker has not looked at the former one yet
    slot.cancelled = computed_at;
    check(MPI_Isend(&slot.cancelled, sizeof(slot.cancelled), MPI_BYTE, rank_of(worker), kCancel, communicator_.get(),
                    requests_.place(place(worker, kCancelSend))),
          "MPI_Isend of a cancellation");
  }

  std::int64_t copied_bytes() const override { return copied_bytes_; }

  void finish() override {
    Backoff backoff;
    for (int worker = 0; worker < workers(); ++worker) {
      wait_for_sends(worker);
      while (requests_.active(place(worker, kCancelSend))) progress(backoff);
    }
  }

 private:
  static std::size_t place(int worker, Place which) { return kRequests * static_cast<std::size_t>(worker) + which; }

  void post_receives(int worker) {
    Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
    slot.missing = 2;
    check(MPI_Irecv(&slot.header, sizeof(GradientHeader), MPI_BYTE, rank_of(worker), kGradientHeader, communicator_.get(),
                    requests_.place(place(worker, kHeaderReceive))),
          "MPI_Irecv of a gradient's header");
    check(MPI_Irecv(slot.values.data(), count(sizes_.contribution, "a contribution"), MPI_FLOAT, rank_of(worker), kContribution,
                    communicator_.get(), requests_.place(place(worker, kValuesReceive))),
          "MPI_Irecv of a gradient");
  }

  void wait_for_sends(int worker) {
    Backoff backoff;
    while (requests_.active(place(worker, kReplySend)) || requests_.active(place(worker, kWeightsSend))) progress(backoff);
  }

  // Progresses all requests, collects complete gradients, and pauses if nothing completed.
  void progress(Backoff& backoff) {
    const auto completed = requests_.test("mpi: a message between the master and a worker");
    for (const auto& [index, bytes] : completed) {
      const int worker = static_cast<int>(index / kRequests);
      Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
      switch (index % kRequests) {
        case kHeaderReceive:
          check_received(bytes, sizeof(GradientHeader), "a gradient's header", rank_of(worker));
          break;
        case kValuesReceive:
          slot.values_bytes = bytes;
          copied_bytes_ += bytes;
          break;
        default:
          continue;  // a send
      }
      if (--slot.missing > 0) continue;
      const Span<float> values = slot.values.as<float>().subspan(0, slot.header.cancelled != 0 ? 0 : sizes_.contribution);
      check_received(slot.values_bytes, values.size_bytes(), "a gradient", rank_of(worker));
      arrived_.push_back({worker, slot.header, values});
    }
    if (completed.empty()) {
      backoff.pause(transferring() ? Backoff::Waiting::transfer : Backoff::Waiting::idle);
    } else {
      backoff.reset();
    }
  }

  bool transferring() const {
    for (int worker = 0; worker < workers(); ++worker) {
      if ((*slots_)[static_cast<std::size_t>(worker)].missing == 1 || requests_.active(place(worker, kWeightsSend)))
        return true;
    }
    return false;
  }

  Communicator communicator_;
  MessageSizes sizes_;
  Requests requests_;
  std::unique_ptr<std::vector<Slot>> slots_;
  std::vector<GradientMessage> arrived_;  // complete, not yet handed out
  std::vector<GradientMessage> handed_;
  std::int64_t copied_bytes_ = 0;
};

}  // namespace

std::unique_ptr<MasterTransport> make_master_transport(const Environment&, const MessageSizes& sizes) {
  return std::make_unique<MpiMasterTransport>(sizes);
}

}  // namespace apam::exchange::mpi
