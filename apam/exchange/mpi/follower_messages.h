// The sequencer's side of the log between masters (log_entry.h). Only for this folder.
//
// The thread that orders posts entries and waits for what the followers report; the progress thread sends the entries to each
// follower one after another, and receives.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "apam/exchange/handoff.h"
#include "apam/exchange/mpi/log_entry.h"
#include "apam/exchange/mpi/parts.h"
#include "apam/exchange/mpi/protocol.h"

namespace apam::exchange::mpi {

class FollowerMessages final : public ShardFollowers {
 public:
  /// `put` gives an entry to the progress thread, which calls start() with it. Its requests begin at place `first`.
  FollowerMessages(const MessageSizes& sizes, const WeightHistory& history, const engine::ParameterLayout& model,
                   Requests& requests, std::size_t first, Channel& channel, std::function<void(const LogEntry&)> put);
  ~FollowerMessages() override;
  FollowerMessages(const FollowerMessages&) = delete;
  FollowerMessages& operator=(const FollowerMessages&) = delete;

  /// How many requests it has.
  static std::size_t places(const MessageSizes& sizes);

  // For the thread that orders.
  void post(const ShardPass& pass) override;
  std::optional<ShardFinding> finish() override;
  void collect(int slot, std::int64_t version) override;
  std::vector<std::int64_t> versions() const override;
  std::vector<double> staleness() const override;

  // For any thread.
  int signal() const override { return signal_; }
  std::int64_t copied_bytes() const { return copied_bytes_; }

  // For the progress thread.
  void start(const LogEntry& entry);
  void complete(const Requests::Completed& one);
  bool transfers() const;
  void fail(std::exception_ptr error) { news_.fail(std::move(error)); }

 private:
  struct Link {
    std::deque<LogEntry> entries;  // the first is being sent if `sends`
    bool sends = false;
    ShardReport report;
    std::int64_t copied_bytes = 0;
  };
  struct News {
    std::size_t follower = 0;
    std::optional<ShardReport> report;  // nothing: its range of a version has come
  };

  std::size_t followers() const { return ranges_.size() - 1; }
  std::size_t place(std::size_t follower, std::size_t which) const;
  static int rank_of(std::size_t follower) { return static_cast<int>(follower) + 1; }
  Span<float> range_of(std::size_t follower, int slot) const;
  void send_next(std::size_t follower);
  void receive_report(std::size_t follower);
  void take(std::size_t follower, const ShardReport& report);
  void take_news(Duration timeout);
  template <class Done>
  void wait_until(const Done& done);

  std::vector<ShardRange> ranges_;
  Order order_;
  const WeightHistory& history_;
  const engine::ParameterLayout& model_;
  Requests& requests_;
  std::size_t first_;
  Channel& channel_;
  std::function<void(const LogEntry&)> put_;
  std::unique_ptr<std::vector<Link>> links_;

  // Of the thread that orders.
  std::int64_t posted_ = 0;           // passes
  std::vector<ShardReport> reports_;  // the latest of each follower
  std::size_t collected_ = 0;         // ranges of the version that is being collected
  std::vector<News> taken_;

  std::atomic<int> signal_ = 0;
  std::atomic<std::int64_t> copied_bytes_ = 0;
  Handoff<News> news_;
};

}  // namespace apam::exchange::mpi
