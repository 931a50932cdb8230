// A worker's side: parts and header of a gradient leave from, and weights come into, memory of the caller.
//
// What belongs to which thread: the requests to the progress thread, from the constructor's end to the delivery of a stop; the
// weights and the contribution to the other one, from a delivery to push(), and what it has offered or pushed to the progress
// thread, until the next delivery. That comes when reply and weights are here and all sends are complete.
//
// A worker that computes ahead has two of each. Weights arrive in those that were not delivered last, which therefore stay the
// other thread's until it has pulled the next. The gradient that it computes after push() is in the contribution that it did
// not push. Its parts are held back until the reply has come and the sends before are complete: the master posts their receives
// before it replies. After a stop they never leave.
//
// With Order::free each master replies with a version of its own, and the header of a gradient has the version of the master
// that it goes to. Leases and the stop come from the sequencer. The other masters reply to every gradient, so the worker then
// gives up the next one, and they know that it has left.
#include <atomic>
#include <memory>
#include <optional>

#include "apam/exchange/mpi/parts.h"
#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/protocol.h"
#include "apam/exchange/mpi/wire.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange::mpi {
namespace {

// Requests of a master; behind those of all masters, the sends of the parts.
enum MasterMessage : std::size_t { kHeaderSend, kToWorkerReceive, kWeightsReceive, kMasterMessages };

/// Memory that MPI may use even after an exception.
struct Headers {
  std::vector<ToWorker> received;    // by master
  std::vector<GradientHeader> sent;  // by master
  Buffer gradients{}, weights{};     // (weights) in bfloat16
};

/// Receive the first reply, or send the contribution up to a part, and the header after the last one.
struct WorkerCommand {
  ConstSpan<float> values{};
  std::size_t parts = 0;          // complete
  std::int64_t computed_at = -1;  // version of the weights
  std::optional<GradientHeader> header{};
};

class MpiWorkerTransport final : public WorkerTransport {
 public:
  MpiWorkerTransport(const Peers& peers, Span<float> weights, Span<float> second, const Stream* steps)
      : peers_(peers),
        sizes_(peers->sizes),
        ranges_(ranges_of(sizes_)),
        parts_(parts_of(sizes_)),
        weights_(weights),
        other_weights_(second.empty() ? weights : second),
        keeps_weights_(!second.empty()),
        steps_(steps),
        requests_(kMasterMessages * ranges_.size() + parts_.size()),
        channel_(peers->communicator, requests_, peers->sends),
        headers_(std::make_unique<Headers>(
            Headers{.received = std::vector<ToWorker>(ranges_.size()), .sent = std::vector<GradientHeader>(ranges_.size())})),
        versions_(ranges_.size()),
        former_versions_(ranges_.size()),
        owed_(ranges_.size()),
        thread_(requests_, {.start = [this](const WorkerCommand& command) { start(command); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](std::exception_ptr error) { deliveries_.fail(std::move(error)); }}) {
    require<ExchangeError>(peers->roles.is_worker(peers->rank()), "mpi: rank {} cannot be a worker, with {} masters",
                           peers->rank(), sizes_.masters);
    for (const Span<float> room : {weights_, other_weights_}) {
      require<ExchangeError>(room.size() == sizes_.weights, "mpi: room for {} weights for messages of {}", room.size(),
                             sizes_.weights);
      require_place(room, "room for weights");
    }
    require<ExchangeError>(steps_ == nullptr || sizes_.wire == Wire::float32,
                           "mpi: values are rounded in host memory, got {} weights in bfloat16 on {}", sizes_.weights,
                           to_string(place()));
    if (sizes_.wire == Wire::bfloat16) {
      headers_->gradients = Buffer({}, sizes_.weights * sizeof(BFloat16));
      headers_->weights = Buffer({}, sizes_.weights * sizeof(BFloat16));
    }
    thread_.start();
  }

  ~MpiWorkerTransport() override {
    thread_.abandon();
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(headers_.release());
  }
  MpiWorkerTransport(const MpiWorkerTransport&) = delete;
  MpiWorkerTransport& operator=(const MpiWorkerTransport&) = delete;

  bool keeps_weights() const override { return keeps_weights_; }
  /// Backward reports no gradients to a worker on a GPU: its steps are replayed as graphs.
  bool sends_early() const override { return steps_ == nullptr; }

  void offer(ConstSpan<float> values, std::size_t from) override {
    const std::size_t complete = complete_parts(parts_, sizes_, from);
    if (complete <= offered_) return;
    offered_ = complete;
    thread_.put({require_contribution(values, false), complete, delivered_.front().reply.version});
  }

  void push(const GradientHeader& header, ConstSpan<float> values) override {
    if (steps_ != nullptr) steps_->synchronize();
    thread_.put({require_contribution(values, header.cancelled != 0), parts_.size(), header.computed_at, header});
    offered_ = 0;
  }

  bool cancelled(std::int64_t computed_at) override { return cancelled_ == computed_at; }

  Delivery pull() override {
    if (!std::exchange(pulled_, true)) thread_.put({});
    do {
      deliveries_.take(delivered_, std::chrono::seconds(1));
    } while (delivered_.empty());
    if (delivered_.front().reply.verdict == Verdict::stop) thread_.finish();
    return delivered_.front();
  }

 private:
  /// Where MPI reads and writes values.
  Device place() const { return steps_ != nullptr ? steps_->device() : Device{}; }
  void require_place(ConstSpan<float> values, std::string_view what) const {
    require<DeviceError>(values.device() == place(), "mpi: {} on {}, expected {}", what, to_string(values.device()),
                         to_string(place()));
  }
  ConstSpan<float> require_contribution(ConstSpan<float> values, bool cancelled) const {
    require<ExchangeError>(values.size() == (cancelled ? 0 : sizes_.contribution),
                           "mpi: a contribution of {} floats for messages of {}", values.size(), sizes_.contribution);
    if (!cancelled) require_place(values, "a contribution");
    return values;
  }

  // What follows runs in the progress thread.

  bool free() const { return sizes_.order == Order::free; }
  std::size_t masters() const { return ranges_.size(); }
  static std::size_t place(std::size_t master, std::size_t which) { return kMasterMessages * master + which; }
  std::size_t part_place(std::size_t part) const { return kMasterMessages * masters() + part; }
  static int rank_of(std::size_t master) { return static_cast<int>(master); }

  void start(const WorkerCommand& command) {
    const auto& [values, parts, computed_at, header] = command;
    if (parts == 0) {
      for (std::size_t master = 0; master < masters(); ++master) receive_next(master);
      return;
    }
    if (!open_) {
      held_ = command;
      return;
    }
    const bool gives_up = header ? header->cancelled != 0 : cancelled_ == computed_at;
    if (gives_up && !header) return;  // nothing leaves until the header, which is marked as cancelled
    for (; sent_ < parts; ++sent_) {
      const Part& part = parts_[sent_];
      channel_.send(part_place(sent_), gives_up ? std::span<const std::byte>() : outgoing(values, part),
                    {part.master, kContribution, "MPI_Isend of a part of a gradient"});
    }
    if (!header) return;
    for (std::size_t master = 0; master < masters(); ++master) send_header(master, *header);
    sent_ = 0;
    open_ = false;
  }

  void send_header(std::size_t master, const GradientHeader& header) {
    GradientHeader& sent = headers_->sent[master];
    sent = header;
    if (free()) {
      const auto& versions = header.computed_at == versions_[0] ? versions_ : former_versions_;
      require<ExchangeError>(versions[0] == header.computed_at,
                             "mpi: a gradient computed on version {} of the weights, rank {} has sent {} and {}",
                             header.computed_at, kSequencer, former_versions_[0], versions_[0]);
      sent.computed_at = versions[master];
      if (!leaving_) receive_next(master);
    }
    channel_.send(place(master, kHeaderSend), bytes_of(sent),
                  {rank_of(master), kGradientHeader, "MPI_Isend of a gradient's header"});
    owed_[master] = false;
  }

  /// Tells the masters that still expect a gradient.
  void leave() {
    leaving_ = true;
    for (std::size_t part = 0; part < parts_.size(); ++part) {
      if (parts_[part].master == kSequencer) continue;
      channel_.send(part_place(part), {}, {parts_[part].master, kContribution, "MPI_Isend of a part of a gradient"});
    }
    for (std::size_t master = 1; master < masters(); ++master) {
      send_header(master, {.computed_at = versions_[0], .cancelled = 1});
    }
  }

  std::span<const std::byte> outgoing(ConstSpan<float> values, const Part& part) {
    const ConstSpan<float> exact = values.subspan(part.offset, part.count);
    if (sizes_.wire == Wire::float32 || part.offset >= sizes_.weights) return bytes_of_any_memory(exact);
    const auto rounded = headers_->gradients.as<BFloat16>().host().subspan(part.offset, part.count);
    round_values(exact.host(), rounded);
    return std::as_bytes(rounded);
  }

  Span<float> arriving() const { return first_is_delivered_ ? other_weights_ : weights_; }

  std::span<BFloat16> rounded(const ShardRange& range) const {
    return headers_->weights.as<BFloat16>().host().subspan(range.begin, range.weights);
  }
  std::span<std::byte> incoming(const ShardRange& range) const {
    if (sizes_.wire == Wire::bfloat16) return std::as_writable_bytes(rounded(range));
    return bytes_of_any_memory(arriving().subspan(range.begin, range.weights));
  }

  void receive_next(std::size_t master) {
    channel_.receive(place(master, kToWorkerReceive), writable_bytes_of(headers_->received[master]),
                     {rank_of(master), kToWorker, "MPI_Irecv of a reply"});
  }

  void complete(const Requests::Completed& one) {
    const std::size_t master = one.place / kMasterMessages, which = one.place % kMasterMessages;
    if (master < masters() && which == kToWorkerReceive) {
      check_received(one.bytes, sizeof(ToWorker), "a reply", rank_of(master));
      take(master, headers_->received[master]);
    } else if (master < masters() && which == kWeightsReceive) {
      const ShardRange& range = ranges_[master];
      check_received(one.bytes, incoming(range).size(), "weights", rank_of(master));
      if (sizes_.wire == Wire::bfloat16) {
        widen_values(rounded(range), arriving().host().subspan(range.begin, range.weights));
      }
    }
    deliver();
  }

  void take(std::size_t master, const ToWorker& message) {
    if (message.cancelled != ToWorker::kIsReply) {
      cancelled_ = message.cancelled;
      return receive_next(master);
    }
    const Reply& reply = message.reply;
    check(reply);
    require<ExchangeError>(!owed_[master],
                           "mpi: rank {} replies with version {} before the gradient that is due after version {}",
                           rank_of(master), reply.version, versions_[master]);
    free() ? check_own(master, reply) : check_same(master, reply);
    if (!free() || rank_of(master) == kSequencer) reply_ = reply;
    ++replies_;
    if (reply.verdict == Verdict::stop) return;
    former_versions_[master] = std::exchange(versions_[master], reply.version);
    owed_[master] = true;
    channel_.receive(place(master, kWeightsReceive), incoming(ranges_[master]),
                     {rank_of(master), kWeights, "MPI_Irecv of weights"});
    if (!free()) receive_next(master);
  }

  void check_same(std::size_t master, const Reply& reply) const {
    const Reply& expected = reply_.value_or(reply);
    require<ExchangeError>(reply == expected,
                           "mpi: rank {} replies with version {}, verdict {} and {} leases, another master with {}, {} and {}",
                           rank_of(master), reply.version, static_cast<int>(reply.verdict), reply.lease_count, expected.version,
                           static_cast<int>(expected.verdict), expected.lease_count);
  }

  static void check_own(std::size_t master, const Reply& reply) {
    require<ExchangeError>(rank_of(master) == kSequencer || (reply.verdict == Verdict::proceed && reply.lease_count == 0),
                           "mpi: rank {} replies with verdict {} and {} leases, which only rank {} decides", rank_of(master),
                           static_cast<int>(reply.verdict), reply.lease_count, kSequencer);
  }

  /// Hands over the reply when weights and sends are complete. Parts of the next gradient may leave before the weights are
  /// here.
  void deliver() {
    if (replies_ < masters() || (!open_ && sending())) return;
    const bool proceeds = reply_->verdict == Verdict::proceed;
    if (proceeds && !std::exchange(open_, true) && held_) start(*std::exchange(held_, {}));
    if (any_active(kWeightsReceive)) return;
    if (!proceeds && free() && !leaving_) return leave();
    deliveries_.put({*reply_, proceeds ? ConstSpan<float>(arriving()) : ConstSpan<float>()});
    first_is_delivered_ = !first_is_delivered_;
    reply_.reset();
    replies_ = 0;
  }

  bool any_active(std::size_t which) const {
    for (std::size_t master = 0; master < masters(); ++master) {
      if (requests_.active(place(master, which))) return true;
    }
    return false;
  }

  bool sending() const {
    for (std::size_t part = 0; part < parts_.size(); ++part) {
      if (requests_.active(part_place(part))) return true;
    }
    return any_active(kHeaderSend);
  }

  Backoff::Waiting waiting() const {
    return sending() || any_active(kWeightsReceive) ? Backoff::Waiting::transfer : Backoff::Waiting::idle;
  }

  Peers peers_;
  MessageSizes sizes_;
  std::vector<ShardRange> ranges_;  // by master
  std::vector<Part> parts_;
  Span<float> weights_, other_weights_;  // the same, unless weights are kept
  bool keeps_weights_;
  const Stream* steps_;  // of a worker whose values are memory of its GPU
  Requests requests_;
  Channel channel_;
  std::unique_ptr<Headers> headers_;

  // Of the thread that computes.
  std::size_t offered_ = 0;  // parts of the current gradient
  bool pulled_ = false;
  std::vector<Delivery> delivered_;

  // Of the progress thread.
  std::size_t sent_ = 0;        // parts of the current gradient
  std::optional<Reply> reply_;  // to be delivered, of the first master that has sent it; free: of the sequencer
  std::size_t replies_ = 0;     // masters that have sent one
  std::vector<std::int64_t> versions_, former_versions_;  // of the weights, by master: the latest, and those before
  bool leaving_ = false;
  bool first_is_delivered_ = false;    // of the weights
  std::vector<bool> owed_;             // a gradient, to the master: from its reply to the header
  bool open_ = false;                  // and the sends before are complete: it may leave
  std::optional<WorkerCommand> held_;  // the latest offer of a gradient that may not

  std::atomic<std::int64_t> cancelled_ = -1;  // the latest version whose computation is to be given up
  Handoff<Delivery> deliveries_;
  ProgressThread<WorkerCommand> thread_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<WorkerTransport> make_worker_transport(const Peers& peers, Span<float> weights, Span<float> second,
                                                       const Stream* steps) {
  return std::make_unique<MpiWorkerTransport>(peers, weights, second, steps);
}

}  // namespace apam::exchange::mpi
