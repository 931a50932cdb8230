// Prefetches batches on its own threads.
//
// Batches are delivered in order of submission. A ring of ahead + 1 slots bounds the memory: one batch is in use by the caller,
// the others are being prepared or ready. Request s is prepared by one thread in slot s mod (ahead + 1) as soon as that slot is
// free. The content of a batch does not depend on the number of threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "data/batches.h"

namespace apam::data {

struct LoaderOptions {
  int threads = 1;        ///< 0: next() prepares batches
  int ahead = 2;          ///< batches prefetched beyond the one in use; at least 1 if threads > 0
  std::int64_t rows = 0;  ///< maximum rows per request; 0: a whole batch
};

/// For use by one thread. Waits without busy-waiting. The destructor drops pending requests.
class Loader {
 public:
  /// Throws InputError for negative options, or if threads > 0 and ahead < 1; DeviceError if threads cannot be started.
  explicit Loader(std::shared_ptr<const Batches> batches, LoaderOptions options = {});
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const Batches& batches() const { return *batches_; }

  /// Queues a request. Never blocks. Throws ShapeError for rows that the batch does not have, or more than options.rows.
  void submit(const Request& request);

  /// Queues all batches of an epoch, in order.
  void submit_epoch(std::int64_t epoch);

  /// Number of requests submitted but not yet taken.
  std::int64_t pending() const;

  /// Takes the batch of the oldest pending request; waits until it is ready. Valid until the next call. Throws ShapeError if no
  /// request is pending, and what Batches::prepare threw for this request.
  const Batch& next();

  /// Seconds that next() has spent waiting or, with 0 threads, preparing.
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Slot {
    Batch batch;
    bool ready = false;
    std::exception_ptr error;
  };

  void run(const std::stop_token& stop);
  void start_next(std::unique_lock<std::mutex>& lock);  // prepares the oldest waiting request; releases the lock meanwhile
  Slot& slot(std::int64_t sequence) { return ring_[static_cast<std::size_t>(sequence) % ring_.size()]; }

  std::shared_ptr<const Batches> batches_;
  LoaderOptions options_;
  std::vector<Slot> ring_;
  double seconds_waited_ = 0;

  mutable std::mutex mutex_;  // guards the members below, and `ready` and `error` of the slots
  std::condition_variable_any work_;
  std::condition_variable ready_;
  std::deque<Request> waiting_;  // requests started_ .. submitted_-1
  std::int64_t submitted_ = 0;   // number of requests
  std::int64_t started_ = 0;     // of these, started by a thread
  std::int64_t taken_ = 0;       // of these, returned by next()
  std::int64_t released_ = 0;    // of these, no longer used by the caller

  std::vector<std::jthread> threads_;  // last member: joined before the others are destroyed
};

}  // namespace apam::data
