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

// Requests; the sends of the parts follow.
enum Place : std::size_t { kHeaderSend, kToWorkerReceive, kWeightsReceive, kFirstPartSend };

/// Memory that MPI may use even after an exception.
struct Headers {
  GradientHeader sent;
  ToWorker received;
  Buffer gradients, weights;  // (weights) in bfloat16
};

/// Receive the first reply, or send the contribution up to a part, and the header after the last one.
struct Command {
  std::span<const float> values{};
  std::size_t parts = 0;          // complete
  std::int64_t computed_at = -1;  // version of the weights
  std::optional<GradientHeader> header{};
};

class MpiWorkerTransport final : public WorkerTransport {
 public:
  MpiWorkerTransport(const MessageSizes& sizes, Span<float> weights, Sends sends, Span<float> second)
      : sizes_(sizes),
        parts_(parts_of(sizes)),
        weights_(weights),
        other_weights_(second.empty() ? weights : second),
        keeps_weights_(!second.empty()),
        requests_(kFirstPartSend + parts_.size()),
        channel_(communicator_, requests_, sends),
        headers_(std::make_unique<Headers>()),
        thread_(requests_, {.start = [this](const Command& command) { start(command); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](std::exception_ptr error) { deliveries_.fail(std::move(error)); }}) {
    require<ExchangeError>(communicator_.rank() != kMaster, "mpi: rank {} cannot be a worker", communicator_.rank());
    agree_on_sizes(communicator_, sizes);
    for (const Span<float> room : {weights_, other_weights_}) {
      require<ExchangeError>(room.host().size() == sizes.weights, "mpi: room for {} weights for messages of {}", room.size(),
                             sizes.weights);
    }
    if (sizes.wire == Wire::bfloat16) {
      headers_->gradients = Buffer({}, sizes.weights * sizeof(BFloat16));
      headers_->weights = Buffer({}, sizes.weights * sizeof(BFloat16));
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
  bool sends_early() const override { return true; }

  void offer(ConstSpan<float> values, std::size_t from) override {
    const std::size_t complete = complete_parts(parts_, sizes_, from);
    if (complete <= offered_) return;
    offered_ = complete;
    thread_.put({require_contribution(values, false), complete, delivered_.front().reply.version});
  }

  void push(const GradientHeader& header, ConstSpan<float> values) override {
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
  std::span<const float> require_contribution(ConstSpan<float> values, bool cancelled) const {
    const auto host = values.host();
    require<ExchangeError>(host.size() == (cancelled ? 0 : sizes_.contribution),
                           "mpi: a contribution of {} floats for messages of {}", host.size(), sizes_.contribution);
    return host;
  }

  // What follows runs in the progress thread.

  void start(const Command& command) {
    const auto& [values, parts, computed_at, header] = command;
    if (parts == 0) return receive_next();
    if (!open_) {
      held_ = command;
      return;
    }
    const bool gives_up = header ? header->cancelled != 0 : cancelled_ == computed_at;
    if (gives_up && !header) return;  // nothing leaves until the header, which is marked as cancelled
    for (; sent_ < parts; ++sent_) {
      channel_.send(kFirstPartSend + sent_, gives_up ? std::span<const std::byte>() : outgoing(values, parts_[sent_]),
                    {kMaster, kContribution, "MPI_Isend of a part of a gradient"});
    }
    if (!header) return;
    headers_->sent = *header;
    channel_.send(kHeaderSend, bytes_of(headers_->sent), {kMaster, kGradientHeader, "MPI_Isend of a gradient's header"});
    sent_ = 0;
    open_ = owed_ = false;
  }

  std::span<const std::byte> outgoing(std::span<const float> values, const Part& part) {
    const auto exact = values.subspan(part.offset, part.count);
    if (sizes_.wire == Wire::float32 || part.offset >= sizes_.weights) return std::as_bytes(exact);
    const auto rounded = headers_->gradients.as<BFloat16>().host().subspan(part.offset, part.count);
    round_values(exact, rounded);
    return std::as_bytes(rounded);
  }

  Span<float> arriving() const { return first_is_delivered_ ? other_weights_ : weights_; }

  std::span<std::byte> incoming() const {
    if (sizes_.wire == Wire::float32) return std::as_writable_bytes(arriving().host());
    return {headers_->weights.data(), headers_->weights.size_bytes()};
  }

  void receive_next() {
    channel_.receive(kToWorkerReceive, writable_bytes_of(headers_->received), {kMaster, kToWorker, "MPI_Irecv of a reply"});
  }

  void complete(const Requests::Completed& one) {
    if (one.place == kToWorkerReceive) {
      check_received(one.bytes, sizeof(ToWorker), "a reply", kMaster);
      take(headers_->received);
    } else if (one.place == kWeightsReceive) {
      check_received(one.bytes, incoming().size(), "weights", kMaster);
      if (sizes_.wire == Wire::bfloat16) widen_values(headers_->weights.as<BFloat16>().host(), arriving().host());
    }
    deliver();
  }

  void take(const ToWorker& message) {
    if (message.cancelled != ToWorker::kIsReply) {
      cancelled_ = message.cancelled;
      return receive_next();
    }
    check(message.reply);
    require<ExchangeError>(!owed_, "mpi: a reply with version {} came before the gradient that is due after version {}",
                           message.reply.version, version_);
    reply_ = message.reply;
    if (reply_->verdict == Verdict::stop) return;
    owed_ = true;
    channel_.receive(kWeightsReceive, incoming(), {kMaster, kWeights, "MPI_Irecv of weights"});
    receive_next();
  }

  /// Hands over the reply when weights and sends are complete. Parts of the next gradient may leave before the weights are
  /// here.
  void deliver() {
    if (!reply_ || (!open_ && sending())) return;
    const bool proceeds = reply_->verdict == Verdict::proceed;
    if (proceeds && !std::exchange(open_, true) && held_) start(*std::exchange(held_, {}));
    if (requests_.active(kWeightsReceive)) return;
    version_ = reply_->version;
    deliveries_.put({*reply_, proceeds ? ConstSpan<float>(arriving()) : ConstSpan<float>()});
    first_is_delivered_ = !first_is_delivered_;
    reply_.reset();
  }

  bool sending() const {
    for (std::size_t i = kFirstPartSend; i < kFirstPartSend + parts_.size(); ++i) {
      if (requests_.active(i)) return true;
    }
    return requests_.active(kHeaderSend);
  }

  Backoff::Waiting waiting() const {
    return sending() || requests_.active(kWeightsReceive) ? Backoff::Waiting::transfer : Backoff::Waiting::idle;
  }

  Communicator communicator_;
  MessageSizes sizes_;
  std::vector<Part> parts_;
  Span<float> weights_, other_weights_;  // the same, unless weights are kept
  bool keeps_weights_;
  Requests requests_;
  Channel channel_;
  std::unique_ptr<Headers> headers_;

  // Of the thread that computes.
  std::size_t offered_ = 0;  // parts of the current gradient
  bool pulled_ = false;
  std::vector<Delivery> delivered_;

  // Of the progress thread.
  std::size_t sent_ = 0;             // parts of the current gradient
  std::optional<Reply> reply_;       // to be delivered
  std::int64_t version_ = -1;        // delivered last
  bool first_is_delivered_ = false;  // of the weights
  bool owed_ = false;                // a gradient: from its reply to its header
  bool open_ = false;                // and the sends before are complete: it may leave
  std::optional<Command> held_;      // the latest offer of a gradient that may not

  std::atomic<std::int64_t> cancelled_ = -1;  // the latest version whose computation is to be given up
  Handoff<Delivery> deliveries_;
  ProgressThread<Command> thread_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<WorkerTransport> make_worker_transport(const Environment&, const MessageSizes& sizes, Span<float> weights,
                                                       Sends sends, Span<float> second) {
  return std::make_unique<MpiWorkerTransport>(sizes, weights, sends, second);
}

}  // namespace apam::exchange::mpi
