// A follower's side of the messages between masters (log_entry.h): it receives entries, and sends reports and its range of a
// version. All of it runs in the progress thread. Only for this folder.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "apam/exchange/mpi/log_entry.h"
#include "apam/exchange/mpi/protocol.h"
#include "apam/exchange/shards/range.h"

namespace apam::exchange::mpi {

class SequencerMessages {
 public:
  static constexpr std::size_t kPlaces = 3;  ///< of requests

  /// Memory of the range in a slot.
  using Memory = std::function<Span<float>(int slot)>;
  /// Called with an entry; of Kind::first once its range has come. Whether another entry follows.
  using Take = std::function<bool(const LogEntry&)>;

  /// Its requests begin at place `first`.
  SequencerMessages(Requests& requests, std::size_t first, Channel& channel, Memory memory, Take take);
  ~SequencerMessages();
  SequencerMessages(const SequencerMessages&) = delete;
  SequencerMessages& operator=(const SequencerMessages&) = delete;

  /// Receives the first entry.
  void start() { receive_entry(); }
  /// The latest one: each has the sums.
  void send(const ShardReport& report);
  /// The range of a version. The sequencer waits for it before it asks again.
  void send(const VersionRef& version);
  /// One of its places.
  void complete(const Requests::Completed& one);

  /// Whether values are on their way.
  bool transfers() const;

 private:
  /// Memory that MPI may use even after an exception.
  struct Kept {
    LogEntry entry{};
    ShardReport report{};
  };

  void receive_entry();
  void send_report();
  void send_values();
  void hand_over(const LogEntry& entry);

  Requests& requests_;
  std::size_t first_;
  Channel& channel_;
  Memory memory_;
  Take take_;
  std::unique_ptr<Kept> kept_;
  std::optional<ShardReport> due_;  // to be sent
  VersionRef wanted_, sent_;        // whose range is to be, is being sent
};

}  // namespace apam::exchange::mpi
