// A master that does not order, over MPI. It receives its range of contributions and sends its range of the weights as the
// sequencer does, when the log says so (log_entry.h). Entries are executed in order, each once the gradients that it needs are
// here: the sequencer may have had them earlier.
#include <deque>
#include <memory>
#include <optional>

#include "apam/exchange/mpi/follower_links.h"
#include "apam/exchange/shards/follower.h"

namespace apam::exchange::mpi {
namespace {

using Kind = LogEntry::Kind;

class Follower final : public ShardMemory {
 public:
  Follower(const Peers& peers, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy)
      : links_(peers, layout, [this](const LogEntry& entry) { return another_follows(entry); }),
        arrived_(static_cast<std::size_t>(workers())),
        started_(static_cast<std::size_t>(workers())),
        shard_(updater, links_.range(), policy, *this) {}

  int workers() const override { return links_.workers(); }
  int slots() const override { return static_cast<int>(links_.history().layout().slots); }
  ConstSpan<float> contribution(int worker) const override { return links_.contribution(worker); }
  Span<float> version(int slot) const override { return links_.history().memory(slot); }

  void run(Control& control) {
    std::vector<FollowerLinks::Event> events;
    while (!over()) {
      links_.take(events);
      for (const auto& event : events) {
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
    links_.finish();
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
    require<ExchangeError>(entry.pass.kind != ShardPass::Kind::apply || links_.history().current().slot() != entry.pass.to,
                           "mpi: an entry of the log writes slot {}, which has the newest version, {}", entry.pass.to,
                           links_.history().current().version());
    return entry.pass.kind != ShardPass::Kind::apply || links_.history().unused(entry.pass.to);
  }

  void execute(const LogEntry& entry) {
    if (entry.kind == Kind::pass) return execute(entry.pass);
    if (entry.kind == Kind::first) return links_.history().publish(links_.history().begin_next(1, entry.slot));
    if (entry.kind == Kind::collect) return links_.send_range(links_.history().in_slot(entry.slot));
    arrived(entry.worker) = Arrived::no;
    started_.at(static_cast<std::size_t>(entry.worker)) = true;
    const bool stops = entry.reply.verdict == Verdict::stop;
    VersionRef version;
    if (!stops) {
      version = links_.history().in_slot(entry.slot);
      require<ExchangeError>(version.version() == entry.reply.version,
                             "mpi: rank {} has version {} of the weights in slot {}, expected {}", links_.rank(),
                             version.version(), entry.slot, entry.reply.version);
    }
    links_.reply(entry.worker, entry.reply, version);
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
    if (pass.kind == ShardPass::Kind::apply) next.emplace(links_.history().begin_next(pass.count, pass.to));
    shard_.take(pass);
    if (next) links_.history().publish(*std::move(next));
    if (const auto found = shard_.non_finite(); found && report_.non_finite_update == 0) {
      report_.non_finite_update = found->update;
      report_.non_finite_element = found->element;
    }
    ++report_.executed;
    report();
  }

  void report() {
    report_.copied_bytes = links_.copied_bytes();
    report_.last = over() ? 1 : 0;
    links_.report(report_);
  }

  /// In the progress thread.
  bool another_follows(const LogEntry& entry) {
    if (entry.kind == Kind::pass && entry.pass.kind == ShardPass::Kind::stop) log_ends_ = true;
    if (entry.kind == Kind::reply && entry.reply.verdict == Verdict::stop) ++told_;
    return !log_ends_ || told_ < workers();
  }

  // Of the progress thread.
  bool log_ends_ = false;  // only stops of workers follow
  int told_ = 0;           // workers that were stopped

  FollowerLinks links_;

  // Of the thread that computes.
  std::deque<LogEntry> entries_;  // to be executed
  std::vector<Arrived> arrived_;  // gradients, by worker
  std::vector<bool> started_;     // workers that have had a reply
  int stopped_ = 0;               // workers
  ShardReport report_;            // the latest
  ShardFollower shard_;
};

}  // namespace

void follow(const Peers& peers, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
            Control& control) {
  Follower(peers, updater, layout, policy).run(control);
}

}  // namespace apam::exchange::mpi
