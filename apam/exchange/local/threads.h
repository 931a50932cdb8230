// The exchange between threads of one process: messages are copies in mailboxes, one per worker.
//
// A mailbox alternates between two owners: its worker writes a gradient, the master a reply and weights. The owner copies
// without the lock, which guards only the change of ownership. Waiting threads sleep.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apam/exchange/gradient_source.h"
#include "apam/exchange/master.h"
#include "apam/exchange/transport.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange {

class ThreadsExchange {
 public:
  /// `contribution`, `weights`: floats per message. Throws InputError without workers.
  ThreadsExchange(int workers, std::size_t contribution, std::size_t weights);
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
    Buffer values;   // (contribution)
    Buffer weights;  // (weights)
    bool replied = false;
    std::condition_variable reply_came;
  };

  std::mutex mutex_;  // guards arrived_, closed_ and Mailbox::replied
  std::condition_variable gradient_came_;
  std::vector<int> arrived_;  // workers with untaken gradients, in order of arrival
  std::optional<std::string> closed_;
  std::vector<Mailbox> mailboxes_;
  std::unique_ptr<MasterTransport> master_;
  std::vector<std::unique_ptr<WorkerTransport>> workers_;
};

/// Trains with the master in this thread and each source in its own thread. Only the master uses `control`. Rethrows the first
/// exception of a thread.
void train_on_threads(Master& master, std::span<GradientSource* const> sources, Control& control);

}  // namespace apam::exchange
