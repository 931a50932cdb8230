// A worker's side: two sends and two receives, directly from and into memory of the caller.
#include <memory>

#include "apam/exchange/mpi/protocol.h"

namespace apam::exchange::mpi {
namespace {

enum Place : std::size_t { kHeaderSend, kValuesSend, kReplyReceive, kWeightsReceive, kPlaces };

/// Memory that MPI may use even after an exception.
struct Headers {
  GradientHeader sent;
  Reply received;
};

class MpiWorkerTransport final : public WorkerTransport {
 public:
  MpiWorkerTransport(const MessageSizes& sizes, Span<float> weights)
      : sizes_(sizes), weights_(weights), requests_(kPlaces), headers_(std::make_unique<Headers>()) {
    require<ExchangeError>(communicator_.rank() != kMaster, "mpi: rank {} cannot be a worker", communicator_.rank());
    agree_on_sizes(communicator_, sizes);
    require<ExchangeError>(weights.host().size() == sizes.weights, "mpi: room for {} weights for messages of {}",
                           weights.size(), sizes.weights);
  }

  ~MpiWorkerTransport() override {
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(headers_.release());
  }
  MpiWorkerTransport(const MpiWorkerTransport&) = delete;
  MpiWorkerTransport& operator=(const MpiWorkerTransport&) = delete;

  void push(const GradientHeader& header, ConstSpan<float> values) override {
    const auto host = values.host();
    require<ExchangeError>(host.size() == (header.cancelled != 0 ? 0 : sizes_.contribution),
                           "mpi: a contribution of {} floats for messages of {}", host.size(), sizes_.contribution);
    headers_->sent = header;
    check(MPI_Isend(&headers_->sent, sizeof(GradientHeader), MPI_BYTE, kMaster, kGradientHeader, communicator_.get(),
                    requests_.place(kHeaderSend)),
          "MPI_Isend of a gradient's header");
    check(MPI_Isend(host.data(), count(host.size(), "a contribution"), MPI_FLOAT, kMaster, kContribution, communicator_.get(),
                    requests_.place(kValuesSend)),
          "MPI_Isend of a gradient");
  }

  bool cancelled(std::int64_t computed_at) override {
    receive_cancellations();
    return cancelled_ == computed_at;
  }

  Delivery pull() override {
    check(MPI_Irecv(&headers_->received, sizeof(Reply), MPI_BYTE, kMaster, kReply, communicator_.get(),
                    requests_.place(kReplyReceive)),
          "MPI_Irecv of a reply");
    Backoff backoff;
    while (requests_.any_active()) poll(backoff);
    receive_cancellations();
    const Reply& reply = headers_->received;
    return {reply, reply.verdict == Verdict::proceed ? ConstSpan<float>(weights_) : ConstSpan<float>()};
  }

 private:
  /// Those that have arrived. They are few and rare, so there is no posted receive. A probe that finds nothing lets MPI read
  /// what has arrived, which the next one finds.
  void receive_cancellations() {
    for (int unsuccessful = 0; unsuccessful < 2;) {
      int arrived = 0;
      check(MPI_Iprobe(kMaster, kCancel, communicator_.get(), &arrived, MPI_STATUS_IGNORE), "MPI_Iprobe for a cancellation");
      if (arrived == 0) {
        ++unsuccessful;
        continue;
      }
      check(MPI_Recv(&cancelled_, sizeof(cancelled_), MPI_BYTE, kMaster, kCancel, communicator_.get(), MPI_STATUS_IGNORE),
            "MPI_Recv of a cancellation");
    }
  }

  void poll(Backoff& backoff) {
    const auto completed = requests_.test("mpi: a message between a worker and the master");
    for (const auto& [index, bytes] : completed) {
      if (index == kReplyReceive) {
        check_received(bytes, sizeof(Reply), "a reply", kMaster);
        check(headers_->received);
        if (headers_->received.verdict == Verdict::stop) continue;
        check(MPI_Irecv(weights_.data(), count(weights_.size(), "weights"), MPI_FLOAT, kMaster, kWeights, communicator_.get(),
                        requests_.place(kWeightsReceive)),
              "MPI_Irecv of weights");
      } else if (index == kWeightsReceive) {
        check_received(bytes, weights_.size_bytes(), "weights", kMaster);
      }
    }
    if (completed.empty()) {
      const bool transferring = requests_.active(kValuesSend) || requests_.active(kWeightsReceive);
      backoff.pause(transferring ? Backoff::Waiting::transfer : Backoff::Waiting::idle);
    } else {
      backoff.reset();
    }
  }

  Communicator communicator_;
  MessageSizes sizes_;
  Span<float> weights_;
  std::int64_t cancelled_ = -1;  // the latest version whose computation is to be given up
  Requests requests_;
  std::unique_ptr<Headers> headers_;
};

}  // namespace

std::unique_ptr<WorkerTransport> make_worker_transport(const Environment&, const MessageSizes& sizes, Span<float> weights) {
  return std::make_unique<MpiWorkerTransport>(sizes, weights);
}

}  // namespace apam::exchange::mpi
