// A master with an order of its own, over MPI (shards/free_shard.h): it applies the gradients that have arrived and replies.
// The sequencer asks it for its range (log_entry.h), and tells it the end.
#include <memory>
#include <optional>

#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/sequencer_messages.h"
#include "apam/exchange/mpi/worker_messages.h"

namespace apam::exchange::mpi {
namespace {

using Kind = LogEntry::Kind;

// A follower without gradients looks for a signal so often.
constexpr Duration kPatience = std::chrono::milliseconds(100);

/// To the progress thread: weights for a worker, a report, or the range of a version to be sent.
struct Command {
  std::optional<FreeShard::Answer> answer{};
  std::optional<ShardReport> report{};
  VersionRef version{};
};

/// From it.
struct Event {
  std::optional<LogEntry> entry{};
  std::optional<GradientMessage> gradient{};
};

class FreeFollower {
 public:
  FreeFollower(const MessageSizes& sizes, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
               FreeShard::Options options, Sends sends)
      : sizes_(checked(sizes, communicator_)),
        range_(ranges_of(sizes).at(static_cast<std::size_t>(communicator_.rank()))),
        updater_(updater),
        policy_(policy),
        options_(options),
        worker_places_(WorkerMessages::places(sizes, communicator_.rank(), workers())),
        requests_(worker_places_ + SequencerMessages::kPlaces),
        channel_(communicator_, requests_, sends),
        memory_(std::make_unique<Buffer>(Device{}, layout.bytes())),
        history_(memory_->as<float>(), layout),
        sequencer_(
            requests_, worker_places_, channel_, [this](int slot) { return range_.of(history_.memory(slot)); },
            [this](const LogEntry& entry) { return hand_over(entry); }),
        messages_(sizes, communicator_.rank(), workers(), requests_, channel_,
                  [this](const GradientMessage& gradient) { events_.put({.gradient = gradient}); }),
        thread_(requests_, {.start = [this](const Command& command) { start(command); },
                            .complete = [this](const Requests::Completed& one) { complete(one); },
                            .waiting = [this] { return waiting(); },
                            .fail = [this](std::exception_ptr error) { events_.fail(std::move(error)); }}) {
    options_.workers = workers();
    agree_on_sizes(communicator_, sizes);
    thread_.start();
    thread_.put({});
  }

  ~FreeFollower() {
    thread_.abandon();
    // After an error, messages may be in flight. Their memory must outlive them, so it is never freed.
    if (requests_.any_active()) static_cast<void>(memory_.release());
  }
  FreeFollower(const FreeFollower&) = delete;
  FreeFollower& operator=(const FreeFollower&) = delete;

  void run(Control& control) {
    std::vector<Event> events;
    std::vector<GradientMessage> gradients;
    while (!over()) {
      events_.take(events, kPatience);
      gradients.clear();
      for (const Event& event : events) {
        if (event.gradient) gradients.push_back(*event.gradient);
        if (event.entry) take(*event.entry);
      }
      if (!gradients.empty()) send(shard_.value().take(gradients));
      if (asked_ && shard_ && shard_->version() >= *asked_) {
        const VersionRef newest = history_.current();
        report_.collected = newest.version();
        asked_.reset();
        thread_.put({.version = newest});
      }
      if (const int signal = control.stop_signal(); signal != 0 && report_.signal == 0) report_.signal = signal;
      report();
    }
    thread_.finish();
    events_.take(events, {});  // throws if the thread has failed
  }

 private:
  int workers() const { return communicator_.ranks() - sizes_.masters; }
  bool over() const { return stopped_ && shard_ && shard_->done(); }

  void take(const LogEntry& entry) {
    if (entry.kind == Kind::first) {
      history_.publish(history_.begin_next(1, entry.slot));
      shard_.emplace(updater_, history_, range_, policy_, options_);
      send(shard_->start());
    } else if (entry.kind == Kind::collect) {
      asked_ = entry.version;
    } else {
      require<ExchangeError>(entry.kind == Kind::pass && entry.pass.kind == ShardPass::Kind::stop,
                             "mpi: rank {} orders by itself, but has an entry of the log", communicator_.rank());
      stopped_ = true;
    }
  }

  void send(std::span<const FreeShard::Answer> answers) {
    for (const FreeShard::Answer& answer : answers) thread_.put({.answer = answer});
  }

  /// If it has news.
  void report() {
    if (!shard_) return;
    if (const auto& found = shard_->non_finite()) {
      report_.non_finite_update = found->update;
      report_.non_finite_element = found->element;
      report_.non_finite_worker = found->worker;
    }
    report_.copied_bytes = messages_.copied_bytes();
    report_.staleness = shard_->staleness().mean();
    report_.last = over() ? 1 : 0;
    if (report_ == reported_) return;
    reported_ = report_;
    thread_.put({.report = report_});
  }

  // What follows runs in the progress thread.

  void start(const Command& command) {
    if (command.answer) {
      const auto& [worker, version] = *command.answer;
      messages_.send(worker, {.version = version.version()}, version);
    } else if (command.report) {
      sequencer_.send(*command.report);
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
    events_.put({.entry = entry});
    return entry.kind != Kind::pass;
  }

  Backoff::Waiting waiting() const {
    return messages_.transfers() || sequencer_.transfers() ? Backoff::Waiting::transfer : Backoff::Waiting::idle;
  }

  Communicator communicator_;
  MessageSizes sizes_;
  ShardRange range_;
  engine::Updater& updater_;
  const StalenessPolicy& policy_;
  FreeShard::Options options_;
  std::size_t worker_places_;
  Requests requests_;
  Channel channel_;
  std::unique_ptr<Buffer> memory_;  // (slots, state), of which the range is used; MPI may use it even after an exception
  WeightHistory history_;
  Handoff<Event> events_;
  SequencerMessages sequencer_;
  WorkerMessages messages_;

  // Of the thread that computes.
  std::optional<FreeShard> shard_;     // once the first version is here
  std::optional<std::int64_t> asked_;  // for its range, from this version on
  bool stopped_ = false;
  ShardReport report_, reported_;

  ProgressThread<Command> thread_;  // last: it uses the others
};

}  // namespace

void follow_freely(const Environment& environment, const MessageSizes& sizes, engine::Updater& updater,
                   const HistoryLayout& layout, const StalenessPolicy& policy, FreeShard::Options options, Control& control,
                   Sends sends) {
  require<ExchangeError>(environment.rank() > kSequencer && environment.rank() < sizes.masters,
                         "mpi: rank {} cannot follow, with {} masters", environment.rank(), sizes.masters);
  FreeFollower(sizes, updater, layout, policy, options, sends).run(control);
}

}  // namespace apam::exchange::mpi
