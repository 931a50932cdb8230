// The exchange between threads of one process, without copies: the master reads gradients in the arenas of the workers, and the
// workers read versions of the weights in the history of the master.
//
// A mailbox alternates between two owners: its worker writes a header and a view of its gradient, the master a reply and a
// reference to the weights. The lock guards only the change of ownership. Waiting threads sleep.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apam/exchange/control.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/master_state.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

class ThreadsExchange {
 public:
  /// Throws InputError without workers.
  explicit ThreadsExchange(int workers);
  ~ThreadsExchange();
  ThreadsExchange(const ThreadsExchange&) = delete;
  ThreadsExchange& operator=(const ThreadsExchange&) = delete;

  MasterTransport& master() { return *master_; }
  WorkerTransport& worker(int index) { return *workers_.at(static_cast<std::size_t>(index)); }

  /// Ends the exchange: current and later waits throw ExchangeError with this reason.
  void close(const std::string& reason);

 private:
  class ThreadsMasterTransport;
  class ThreadsWorkerTransport;
  struct Mailbox {
    GradientHeader header;
    Reply reply;
    ConstSpan<float> values;  // the worker's
    VersionRef version;       // sent to it; released when its next gradient is taken
    bool replied = false;
    std::int64_t cancelled = -1;  // the latest version whose computation is to be given up
    std::condition_variable reply_came;
  };

  std::mutex mutex_;  // guards arrived_, closed_, Mailbox::replied and Mailbox::cancelled
  std::condition_variable gradient_came_;
  std::vector<int> arrived_;  // workers with untaken gradients, in order of arrival
  std::optional<std::string> closed_;
  std::vector<Mailbox> mailboxes_;
  std::unique_ptr<MasterTransport> master_;
  std::vector<std::unique_ptr<WorkerTransport>> workers_;
};

/// Trains with the master in this thread and each source in its own thread. Only the master uses `control`. Rethrows the first
/// exception of a thread.
void train_on_threads(MasterState& master, std::span<GradientSource* const> sources, Control& control, Observer& observer);

}  // namespace apam::exchange
