// What a master that is not the sequencer has of messages: its memory, its links to the workers and to the sequencer, and the
// progress thread that serves them. The other thread takes what has come, and hands over what is to be sent. Only for this
// folder.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "apam/exchange/mpi/progress.h"
#include "apam/exchange/mpi/sequencer_messages.h"
#include "apam/exchange/mpi/worker_messages.h"

namespace apam::exchange::mpi {

class FollowerLinks {
 public:
  struct Event {
    std::optional<LogEntry> entry{};
    std::optional<GradientMessage> gradient{};
  };

  /// Called by the progress thread with an entry: whether another one follows.
  using Follows = std::function<bool(const LogEntry&)>;

  /// Starts the thread. Throws ExchangeError for a rank that is no follower.
  FollowerLinks(const Peers& peers, const HistoryLayout& layout, Follows follows);
  ~FollowerLinks();
  FollowerLinks(const FollowerLinks&) = delete;
  FollowerLinks& operator=(const FollowerLinks&) = delete;

  int rank() const { return peers_->rank(); }
  int workers() const { return peers_->roles.workers; }
  const ShardRange& range() const { return range_; }
  WeightHistory& history() { return history_; }
  const WeightHistory& history() const { return history_; }
  ConstSpan<float> contribution(int worker) const { return messages_.values(worker); }  ///< whole; the range is used
  std::int64_t copied_bytes() const { return messages_.copied_bytes(); }

  /// Waits for the first for as long as a follower may take to look for a signal. Throws what the thread has failed with.
  void take(std::vector<Event>& events) { events_.take(events, std::chrono::milliseconds(100)); }

  /// To a worker, with its weights unless it is a stop.
  void reply(int worker, const Reply& reply, const VersionRef& version) { thread_.put({Answer{worker, reply}, {}, version}); }
  /// To the sequencer: a report, the range of a version.
  void report(const ShardReport& report) { thread_.put({.report = report}); }
  void send_range(const VersionRef& version) { thread_.put({.version = version}); }

  /// Nothing more is sent. Returns when all messages are complete.
  void finish();

 private:
  struct Answer {
    int worker = 0;
    Reply reply;
  };
  /// A reply, a report, or a range to be sent; none of them: the first entry is to be received.
  struct Command {
    std::optional<Answer> answer{};
    std::optional<ShardReport> report{};
    VersionRef version{};
  };

  // In the progress thread.
  void start(const Command& command);
  void complete(const Requests::Completed& one);
  bool hand_over(const LogEntry& entry);
  Backoff::Waiting waiting() const;

  Peers peers_;
  ShardRange range_;
  Follows follows_;
  std::size_t worker_places_;
  Requests requests_;
  Channel channel_;
  std::unique_ptr<Buffer> memory_;  // (slots, state), of which the range is used; MPI may use it even after an exception
  WeightHistory history_;
  Handoff<Event> events_;
  SequencerMessages sequencer_;
  WorkerMessages messages_;
  ProgressThread<Command> thread_;  // last: it uses the others
};

}  // namespace apam::exchange::mpi
