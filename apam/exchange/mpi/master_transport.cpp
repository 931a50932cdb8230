// The master's side. Each worker has a slot: a buffer for its contribution, the version of the weights on its way to it, and
// requests. A gradient has arrived when its header and all its parts have, in any order, and the reply before it has been sent.
//
// What belongs to which thread: the slots and requests to the progress thread, from the constructor's end to finish(); the
// values of a slot to the other one, from the arrival of the gradient to the reply, which is a command.
#include <atomic>
#include <memory>

#include "apam/exchange/mpi/parts.h"
#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/protocol.h"
#include "apam/exchange/mpi/wire.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::mpi {
namespace {

// Requests of a worker; the receives of the parts follow.
enum Place : std::size_t { kHeaderReceive, kReplySend, kWeightsSend, kCancelSend, kFirstPartReceive };

struct Slot {
  GradientHeader header;
  ToWorker reply, cancellation;
  Buffer values;                                  // (contribution)
  Buffer rounded;                                 // (weights) in bfloat16: the gradients as they come
  VersionRef version;                             // in flight to the worker
  std::shared_ptr<const Buffer> rounded_version;  // or this
  bool expected = false;                          // a gradient
  std::size_t missing = 0;                        // its messages that have not arrived
  std::size_t empty = 0;                          // its parts that came without values
};

/// A reply with its weights, or a cancellation.
struct Command {
  int worker = 0;
  ToWorker message;
  VersionRef version;
};

class MpiMasterTransport final : public MasterTransport {
 public:
  MpiMasterTransport(const MessageSizes& sizes, Sends sends)
      : sizes_(sizes),
        parts_(parts_of(sizes)),
        requests_(places() * static_cast<std::size_t>(communicator_.ranks() - 1)),
        channel_(communicator_, requests_, sends),
        thread_(requests_, {.start = [this](const Command& command) { start(command); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](std::exception_ptr error) { arrivals_.fail(std::move(error)); }}) {
    require<ExchangeError>(communicator_.rank() == kMaster, "mpi: rank {} cannot be the master", communicator_.rank());
    require<ExchangeError>(communicator_.ranks() >= 2, "mpi: a master and a worker need 2 ranks, there is {}",
                           communicator_.ranks());
    agree_on_sizes(communicator_, sizes);
    slots_ = std::make_unique<std::vector<Slot>>(static_cast<std::size_t>(workers()));
    for (Slot& slot : *slots_) {
      slot.values = Buffer({}, sizes.contribution * sizeof(float));
      if (sizes.wire == Wire::bfloat16) slot.rounded = Buffer({}, sizes.weights * sizeof(BFloat16));
    }
    thread_.start();
  }

  ~MpiMasterTransport() override {
    thread_.abandon();
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(slots_.release());
  }
  MpiMasterTransport(const MpiMasterTransport&) = delete;
  MpiMasterTransport& operator=(const MpiMasterTransport&) = delete;

  int workers() const override { return communicator_.ranks() - 1; }
  std::string_view name() const override { return "mpi (host buffers)"; }

  std::span<const GradientMessage> poll(Duration timeout) override {
    arrivals_.take(arrived_, timeout);
    return arrived_;
  }

  void send(int worker, const Reply& reply, const VersionRef& version) override {
    require_worker(worker);
    require<ExchangeError>(static_cast<bool>(version) == (reply.verdict == Verdict::proceed),
                           "mpi: a reply to worker {} {} weights", worker, version ? "to stop has" : "to proceed has no");
    const std::size_t weights = version ? version.weights().host().size() : sizes_.weights;
    require<ExchangeError>(weights == sizes_.weights, "mpi: {} weights for messages of {}", weights, sizes_.weights);
    thread_.put({worker, {.reply = reply}, version});
  }

  void cancel(int worker, std::int64_t computed_at) override {
    require_worker(worker);
    thread_.put({worker, {.cancelled = computed_at}, {}});
  }

  std::int64_t copied_bytes() const override { return copied_bytes_; }

  void finish() override {
    thread_.finish();
    arrivals_.take(arrived_, {});  // throws if the thread has failed
  }

 private:
  std::size_t places() const { return kFirstPartReceive + parts_.size(); }
  std::size_t place(int worker, std::size_t which) const { return places() * static_cast<std::size_t>(worker) + which; }

  void require_worker(int worker) const {
    require<ExchangeError>(worker >= 0 && worker < workers(), "mpi: a message to worker {}, there are {}", worker, workers());
  }

  // What follows runs in the progress thread.

  void start(const Command& command) {
    const auto& [worker, message, version] = command;
    Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
    if (message.cancelled != ToWorker::kIsReply) {
      if (requests_.active(place(worker, kCancelSend))) return;  // the worker has not taken the former one yet
      slot.cancellation = message;
      channel_.send(place(worker, kCancelSend), bytes_of(slot.cancellation),
                    {rank_of(worker), kToWorker, "MPI_Isend of a cancellation"});
      return;
    }
    if (version) expect_gradient(worker);
    slot.reply = message;
    channel_.send(place(worker, kReplySend), bytes_of(slot.reply), {rank_of(worker), kToWorker, "MPI_Isend of a reply"});
    if (!version) return;
    channel_.send(place(worker, kWeightsSend), outgoing(slot, version), {rank_of(worker), kWeights, "MPI_Isend of weights"});
  }

  std::span<const std::byte> outgoing(Slot& slot, const VersionRef& version) {
    if (sizes_.wire == Wire::float32) {
      slot.version = version;
      return std::as_bytes(version.weights().host());
    }
    if (!newest_rounded_ || newest_ != version.version()) {  // once for all workers of a pass
      newest_rounded_ = unused_buffer();
      newest_ = version.version();
      round_values(version.weights().host(), newest_rounded_->as<BFloat16>().host());
    }
    slot.rounded_version = newest_rounded_;
    return {newest_rounded_->data(), newest_rounded_->size_bytes()};
  }

  // For a rounded version: one that no worker is being sent.
  std::shared_ptr<Buffer> unused_buffer() {
    newest_rounded_ = {};
    for (const auto& one : rounded_versions_) {
      if (one.use_count() == 1) return one;
    }
    return rounded_versions_.emplace_back(std::make_shared<Buffer>(Device{}, sizes_.weights * sizeof(BFloat16)));
  }

  void expect_gradient(int worker) {
    Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
    slot.expected = true;
    slot.missing = 1 + parts_.size();
    slot.empty = 0;
    channel_.receive(place(worker, kHeaderReceive), writable_bytes_of(slot.header),
                     {rank_of(worker), kGradientHeader, "MPI_Irecv of a gradient's header"});
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      channel_.receive(place(worker, kFirstPartReceive + i), incoming(slot, parts_[i]),
                       {rank_of(worker), kContribution, "MPI_Irecv of a part of a gradient"});
    }
  }

  bool rounds(const Part& part) const { return sizes_.wire == Wire::bfloat16 && part.offset < sizes_.weights; }

  std::span<std::byte> incoming(const Slot& slot, const Part& part) const {
    if (rounds(part)) return std::as_writable_bytes(slot.rounded.as<BFloat16>().host().subspan(part.offset, part.count));
    return std::as_writable_bytes(slot.values.as<float>().host().subspan(part.offset, part.count));
  }

  void complete(const Requests::Completed& one) {
    const int worker = static_cast<int>(one.place / places());
    Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
    const std::size_t which = one.place % places();
    if (which == kHeaderReceive) {
      check_received(one.bytes, sizeof(GradientHeader), "a gradient's header", rank_of(worker));
      --slot.missing;
    } else if (which >= kFirstPartReceive) {
      take_part(worker, parts_[which - kFirstPartReceive], one.bytes);
    } else if (which == kWeightsSend) {
      copied_bytes_ += static_cast<std::int64_t>(sizes_.weights * bytes_per_value(sizes_.wire));
      slot.version = {};
      slot.rounded_version = {};
    }
    const bool sent = !requests_.active(place(worker, kReplySend)) && !requests_.active(place(worker, kWeightsSend));
    if (slot.expected && slot.missing == 0 && sent) hand_over(worker);
  }

  void take_part(int worker, const Part& part, int bytes) {
    Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
    --slot.missing;
    copied_bytes_ += bytes;
    if (bytes == 0) {
      ++slot.empty;
      return;
    }
    check_received(bytes, incoming(slot, part).size(), "a part of a gradient", rank_of(worker));
    if (!rounds(part)) return;
    widen_values(std::span<const BFloat16>(slot.rounded.as<BFloat16>().host()).subspan(part.offset, part.count),
                 slot.values.as<float>().host().subspan(part.offset, part.count));
  }

  void hand_over(int worker) {
    Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
    slot.expected = false;
    const bool cancelled = slot.header.cancelled != 0;
    require<ExchangeError>(cancelled || slot.empty == 0, "mpi: {} of {} parts of a gradient from rank {} have no values",
                           slot.empty, parts_.size(), rank_of(worker));
    arrivals_.put({worker, slot.header, slot.values.as<float>().subspan(0, cancelled ? 0 : sizes_.contribution)});
  }

  Backoff::Waiting waiting() const {
    for (int worker = 0; worker < workers(); ++worker) {
      const Slot& slot = (*slots_)[static_cast<std::size_t>(worker)];
      const bool arriving = slot.expected && slot.missing <= parts_.size();
      if (arriving || requests_.active(place(worker, kWeightsSend))) return Backoff::Waiting::transfer;
    }
    return Backoff::Waiting::idle;
  }

  Communicator communicator_;
  MessageSizes sizes_;
  std::vector<Part> parts_;
  Requests requests_;
  Channel channel_;
  std::unique_ptr<std::vector<Slot>> slots_;
  Handoff<GradientMessage> arrivals_;
  std::vector<GradientMessage> arrived_;                   // handed out by poll()
  std::vector<std::shared_ptr<Buffer>> rounded_versions_;  // in bfloat16, one per worker and one at most
  std::shared_ptr<Buffer> newest_rounded_;                 // of the version sent last
  std::int64_t newest_ = 0;                                // its number
  std::atomic<std::int64_t> copied_bytes_ = 0;
  ProgressThread<Command> thread_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<MasterTransport> make_master_transport(const Environment&, const MessageSizes& sizes, Sends sends) {
  return std::make_unique<MpiMasterTransport>(sizes, sends);
}

}  // namespace apam::exchange::mpi
