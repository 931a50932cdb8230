// A master that does not order, over MPI. It receives its range of contributions and sends its range of the weights as the
// sequencer does, when the log says so (log_entry.h). Entries are executed in order, each once the gradients that it needs are
// here: the sequencer may have had them earlier.
#include <deque>
#include <memory>
#include <optional>

#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/sequencer_messages.h"
#include "apam/exchange/mpi/worker_messages.h"
#include "apam/exchange/shards/follower.h"

namespace apam::exchange::mpi {
namespace {

using Kind = LogEntry::Kind;

// A follower without entries looks for a signal so often.
constexpr Duration kPatience = std::chrono::milliseconds(100);

/// To the progress thread: a reply, a report, or the range of a version to be sent.
struct Command {
  std::optional<LogEntry> reply{};
  std::optional<ShardReport> report{};
  VersionRef version{};
};

/// From it.
struct Event {
  std::optional<LogEntry> entry{};
  std::optional<GradientMessage> gradient{};
};

class Follower final : public ShardMemory {
 public:
  Follower(const MessageSizes& sizes, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
           Sends sends)
      : sizes_(checked(sizes, communicator_)),
        range_(ranges_of(sizes).at(static_cast<std::size_t>(communicator_.rank()))),
        worker_places_(WorkerMessages::places(sizes, communicator_.rank(), workers())),
        requests_(worker_places_ + SequencerMessages::kPlaces),
        channel_(communicator_, requests_, sends),
        memory_(std::make_unique<Buffer>(Device{}, layout.bytes())),
        history_(memory_->as<float>(), layout),
        sequencer_(
            requests_, worker_places_, channel_, [this](int slot) { return range_.of(version(slot)); },
            [this](const LogEntry& entry) { return hand_over(entry); }),
        messages_(sizes, communicator_.rank(), workers(), requests_, channel_,
                  [this](const GradientMessage& gradient) { events_.put({.gradient = gradient}); }),
        arrived_(static_cast<std::size_t>(workers())),
        started_(static_cast<std::size_t>(workers())),
        shard_(updater, range_, policy, *this),
        thread_(requests_, {.start = [this](const Command& command) { start(command); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](std::exception_ptr error) { events_.fail(std::move(error)); }}) {
    agree_on_sizes(communicator_, sizes);
    thread_.start();
    thread_.put({});
  }

  ~Follower() override {
    thread_.abandon();
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(memory_.release());
  }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  int workers() const override { return communicator_.ranks() - sizes_.masters; }
  int slots() const override { return static_cast<int>(history_.layout().slots); }
  ConstSpan<float> contribution(int worker) const override { return messages_.values(worker); }
  Span<float> version(int slot) const override { return history_.memory(slot); }

  void run(Control& control) {
    std::vector<Event> events;
    while (!over()) {
      events_.take(events, kPatience);
      for (const Event& event : events) {
        if (event.entry) {
          check(*event.entry);
          entries_.push_back(*event.entry);
        }
        if (!event.gradient) continue;
        const bool cancelled = event.gradient->header.cancelled != 0;
        arrived(event.gradient->worker) = cancelled ? Arrived::cancelled : Arrived::whole;
      }
      while (!entries_.empty() && ready(entries_.front())) {
        execute(entries_.front());
        entries_.pop_front();
      }
      const int signal = control.stop_signal();
      if (signal == 0 || report_.signal != 0 || over()) continue;
      report_.signal = signal;
      report();
    }
    thread_.finish();
    events_.take(events, {});  // throws if the thread has failed
  }

 private:
  enum class Arrived : std::uint8_t { no, whole, cancelled };

  Arrived& arrived(int worker) { return arrived_.at(static_cast<std::size_t>(worker)); }

  /// Slots are checked where they are used.
  void check(const LogEntry& entry) const {
    if (entry.kind == Kind::pass) shard_.check(entry.pass);
    require<ExchangeError>(entry.kind != Kind::reply || (entry.worker >= 0 && entry.worker < workers()),
                           "mpi: an entry of the log for worker {} of {}", entry.worker, workers());
  }

  /// The sequencer has ended the log, and every worker has its stop.
  bool over() const { return shard_.done() && stopped_ == workers(); }

  bool ready(const LogEntry& entry) {
    if (entry.kind == Kind::reply) {
      return !started_.at(static_cast<std::size_t>(entry.worker)) || arrived(entry.worker) != Arrived::no;
    }
    if (entry.kind != Kind::pass || entry.pass.kind == ShardPass::Kind::stop) return true;
    const bool reads = entry.pass.change.kind != GradientChange::Kind::mean;
    for (std::size_t i = 0; reads && i < static_cast<std::size_t>(entry.pass.count); ++i) {
      if (arrived(entry.pass.workers.at(i)) == Arrived::no) return false;
    }
    // A former version there may still be on its way from here, although its worker has it.
    require<ExchangeError>(entry.pass.kind != ShardPass::Kind::apply || history_.current().slot() != entry.pass.to,
                           "mpi: an entry of the log writes slot {}, which has the newest version, {}", entry.pass.to,
                           history_.current().version());
    return entry.pass.kind != ShardPass::Kind::apply || history_.unused(entry.pass.to);
  }

  void execute(const LogEntry& entry) {
    if (entry.kind == Kind::pass) return execute(entry.pass);
    if (entry.kind == Kind::first) return history_.publish(history_.begin_next(1, entry.slot));
    if (entry.kind == Kind::collect) return thread_.put({.version = history_.in_slot(entry.slot)});
    arrived(entry.worker) = Arrived::no;
    started_.at(static_cast<std::size_t>(entry.worker)) = true;
    const bool stops = entry.reply.verdict == Verdict::stop;
    VersionRef version;
    if (!stops) {
      version = history_.in_slot(entry.slot);
      require<ExchangeError>(version.version() == entry.reply.version,
                             "mpi: rank {} has version {} of the weights in slot {}, expected {}", communicator_.rank(),
                             version.version(), entry.slot, entry.reply.version);
    }
    thread_.put({.reply = entry, .version = version});
    if (!stops) return;
    ++stopped_;
    if (over()) report();
  }

  void execute(const ShardPass& pass) {
    if (pass.kind == ShardPass::Kind::stop) {
      shard_.take(pass);
      if (over()) report();
      return;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(pass.count); ++i) {
      require<ExchangeError>(arrived(pass.workers.at(i)) != Arrived::cancelled,
                             "mpi: an entry of the log for a gradient that worker {} has given up", pass.workers.at(i));
    }
    std::optional<WritableVersion> next;
    if (pass.kind == ShardPass::Kind::apply) next.emplace(history_.begin_next(pass.count, pass.to));
    shard_.take(pass);
    if (next) history_.publish(*std::move(next));
    if (const auto found = shard_.non_finite(); found && report_.non_finite_update == 0) {
      report_.non_finite_update = found->update;
      report_.non_finite_element = found->element;
    }
    ++report_.executed;
    report();
  }

  void report() {
    report_.copied_bytes = messages_.copied_bytes();
    report_.last = over() ? 1 : 0;
    thread_.put({.report = report_});
  }

  // What follows runs in the progress thread.

  void start(const Command& command) {
    if (command.report) {
      sequencer_.send(*command.report);
    } else if (command.reply) {
      const LogEntry& entry = *command.reply;
      messages_.send(entry.worker, entry.reply, command.version);
    } else if (command.version) {
      sequencer_.send(command.version);
    } else {
      sequencer_.start();
    }
  }

  void complete(const Requests::Completed& one) {
    one.place < worker_places_ ? messages_.complete(one) : sequencer_.complete(one);
  }

  bool hand_over(const LogEntry& entry) {
    if (entry.kind == Kind::pass && entry.pass.kind == ShardPass::Kind::stop) log_ends_ = true;
    if (entry.kind == Kind::reply && entry.reply.verdict == Verdict::stop) ++told_;
    events_.put({.entry = entry});
    return !log_ends_ || told_ < workers();
  }

  Backoff::Waiting waiting() const {
    return messages_.transfers() || sequencer_.transfers() ? Backoff::Waiting::transfer : Backoff::Waiting::idle;
  }

  Communicator communicator_;
  MessageSizes sizes_;
  ShardRange range_;
  std::size_t worker_places_;
  Requests requests_;
  Channel channel_;
  std::unique_ptr<Buffer> memory_;  // (slots, state), of which the range is used; MPI may use it even after an exception
  WeightHistory history_;
  Handoff<Event> events_;
  SequencerMessages sequencer_;
  WorkerMessages messages_;

  // Of the thread that computes.
  std::deque<LogEntry> entries_;  // to be executed
  std::vector<Arrived> arrived_;  // gradients, by worker
  std::vector<bool> started_;     // workers that have had a reply
  int stopped_ = 0;               // workers
  ShardReport report_;            // the latest
  ShardFollower shard_;

  // Of the progress thread.
  bool log_ends_ = false;  // only stops of workers follow
  int told_ = 0;           // workers that were stopped

  ProgressThread<Command> thread_;  // last: it uses the others
};

}  // namespace

void follow(const Environment& environment, const MessageSizes& sizes, engine::Updater& updater, const HistoryLayout& layout,
            const StalenessPolicy& policy, Control& control, Sends sends) {
  require<ExchangeError>(environment.rank() > kSequencer && environment.rank() < sizes.masters,
                         "mpi: rank {} cannot follow, with {} masters", environment.rank(), sizes.masters);
  Follower(sizes, updater, layout, policy, sends).run(control);
}

}  // namespace apam::exchange::mpi
