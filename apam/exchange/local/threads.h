// The exchange between threads of one process: messages are copies in mailboxes, one a worker.
//
// A mailbox passes back and forth: its worker fills it with a gradient, the master with a reply and weights. Whoever holds it
// copies without the lock; the lock guards only the passing on. Waiting threads sleep.
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
  /// Mailboxes for contributions and weights of so many floats. Throws InputError unless there is a worker.
  ThreadsExchange(int workers, std::size_t contribution, std::size_t weights);
  ~ThreadsExchange();
  ThreadsExchange(const ThreadsExchange&) = delete;
  ThreadsExchange& operator=(const ThreadsExchange&) = delete;

  MasterTransport& master() { return *master_; }
  WorkerTransport& worker(int index) { return *workers_.at(static_cast<std::size_t>(index)); }

  /// Ends the exchange: whoever waits, or waits later, gets an ExchangeError with this reason.
  void close(const std::string& reason);

 private:
  class MasterEnd;
  class WorkerEnd;
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
  std::vector<int> arrived_;  // workers whose gradients the master has not taken, in order of arrival
  std::optional<std::string> closed_;
  std::vector<Mailbox> mailboxes_;
  std::unique_ptr<MasterTransport> master_;
  std::vector<std::unique_ptr<WorkerTransport>> workers_;
};

/// Trains with the master in this thread and each source in a thread of its own. Only the master asks `control`.
/// Throws what the first thread to fail threw.
void train_on_threads(Master& master, std::span<GradientSource* const> sources, Control& control);

}  // namespace apam::exchange
