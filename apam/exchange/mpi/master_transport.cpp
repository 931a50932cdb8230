// The master's side: of the only master, or of the sequencer of several.
//
// What belongs to which thread: messages and requests to the progress thread, from the constructor's end to finish(); the
// values of a contribution to the other one, from the arrival of the gradient to the reply, which is a command.
#include <memory>
#include <optional>

#include "apam/exchange/mpi/follower_messages.h"
#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/worker_messages.h"

namespace apam::exchange::mpi {
namespace {

/// A reply with its weights, a cancellation, or an entry for the followers.
struct MasterCommand {
  int worker = 0;
  ToWorker message{};
  VersionRef version{};
  std::optional<LogEntry> entry{};
};

/// Of the sequencer.
struct Shards {
  const WeightHistory& history;
  const engine::ParameterLayout& model;
};

class MpiMasterTransport final : public SequencerTransport {
 public:
  MpiMasterTransport(const Peers& peers, const Stream* updates, DeviceBuffers buffers, std::optional<Shards> shards = {})
      : peers_(peers),
        sizes_(peers->sizes),
        worker_places_(WorkerMessages::places(peers)),
        requests_(worker_places_ + FollowerMessages::places(sizes_)),
        channel_(peers->communicator, requests_, peers->sends),
        name_(updates == nullptr                 ? kHostMessages
              : buffers == DeviceBuffers::staged ? kPinnedMessages
                                                 : kDeviceMessages),
        messages_(
            peers, requests_, channel_, [this](const GradientMessage& gradient) { arrivals_.put(gradient); }, updates, buffers),
        thread_(requests_, {.start = [this](const MasterCommand& command) { start(command); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](const std::exception_ptr& error) { fail(error); }}) {
    require<ExchangeError>(peers->rank() == kSequencer, "mpi: rank {} cannot be the master", peers->rank());
    if (shards) {
      followers_.emplace(sizes_, shards->history, shards->model, requests_, worker_places_, channel_,
                         [this](const LogEntry& entry) { thread_.put({.entry = entry}); });
    }
    thread_.start();
  }

  ~MpiMasterTransport() override { thread_.abandon(); }
  MpiMasterTransport(const MpiMasterTransport&) = delete;
  MpiMasterTransport& operator=(const MpiMasterTransport&) = delete;

  int workers() const override { return peers_->roles.workers; }
  std::string_view name() const override { return name_; }

  std::span<const GradientMessage> poll(Duration timeout) override {
    arrivals_.take(arrived_, timeout);
    return arrived_;
  }

  void send(int worker, const Reply& reply, const VersionRef& version) override {
    require_worker(worker);
    require<ExchangeError>(static_cast<bool>(version) == (reply.verdict == Verdict::proceed),
                           "mpi: a reply to worker {} {} weights", worker, version ? "to stop has" : "to proceed has no");
    const std::size_t weights = version ? version.weights().size() : sizes_.weights;
    require<ExchangeError>(weights == sizes_.weights, "mpi: {} weights for messages of {}", weights, sizes_.weights);
    messages_.mark_updates(worker);
    thread_.put({worker, {.reply = reply}, version});
  }

  void cancel(int worker, std::int64_t computed_at) override {
    require_worker(worker);
    thread_.put({worker, {.cancelled = computed_at}});
  }

  std::int64_t copied_bytes() const override {
    return messages_.copied_bytes() + (followers_ ? followers_->copied_bytes() : 0);
  }

  void finish() override {
    thread_.finish();
    arrivals_.take(arrived_, {});  // throws if the thread has failed
  }

  ShardFollowers& followers() override { return followers_.value(); }

 private:
  void require_worker(int worker) const {
    require<ExchangeError>(worker >= 0 && worker < workers(), "mpi: a message to worker {}, there are {}", worker, workers());
  }

  // What follows runs in the progress thread.

  void start(const MasterCommand& command) {
    const auto& [worker, message, version, entry] = command;
    if (entry) return followers_.value().start(*entry);
    if (message.cancelled != ToWorker::kIsReply) return messages_.cancel(worker, message.cancelled);
    messages_.send(worker, message.reply, version);
    if (!followers_ || sizes_.order == Order::free) return;
    followers_->start(
        {.kind = LogEntry::Kind::reply, .worker = worker, .slot = version ? version.slot() : -1, .reply = message.reply});
  }

  void complete(const Requests::Completed& one) {
    one.place < worker_places_ ? messages_.complete(one) : followers_.value().complete(one);
  }

  Backoff::Waiting waiting() const {
    const bool transfers = messages_.transfers() || (followers_ && followers_->transfers());
    return transfers ? Backoff::Waiting::transfer : Backoff::Waiting::idle;
  }

  void fail(const std::exception_ptr& error) {
    if (followers_) followers_->fail(error);
    arrivals_.fail(error);
  }

  Peers peers_;
  MessageSizes sizes_;
  std::size_t worker_places_;
  Requests requests_;
  Channel channel_;
  Handoff<GradientMessage> arrivals_;
  std::vector<GradientMessage> arrived_;  // handed out by poll()
  std::string_view name_;
  WorkerMessages messages_;
  std::optional<FollowerMessages> followers_;  // of several masters
  ProgressThread<MasterCommand> thread_;       // last: it uses the others
};

}  // namespace

std::unique_ptr<MasterTransport> make_master_transport(const Peers& peers, const Stream* updates, DeviceBuffers buffers) {
  require<ExchangeError>(peers->sizes.masters == 1, "mpi: a transport of one master for {} masters", peers->sizes.masters);
  return std::make_unique<MpiMasterTransport>(peers, updates, buffers);
}

std::unique_ptr<SequencerTransport> make_sequencer_transport(const Peers& peers, const WeightHistory& history,
                                                             const engine::ParameterLayout& model) {
  return std::make_unique<MpiMasterTransport>(peers, nullptr, DeviceBuffers::staged, Shards{history, model});
}

}  // namespace apam::exchange::mpi
