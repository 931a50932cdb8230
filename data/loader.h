// Prepares batches ahead of their use on threads of its own.
//
// Requests are answered in the order in which they came in. A ring of ahead + 1 batches bounds the memory: one is in the
// hands of the caller, the others are being prepared or wait for it. Request s is prepared into ring place s mod (ahead + 1)
// as soon as that place is free, each by one thread. What a batch holds does not depend on the number of threads.
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
  int threads = 1;        ///< 0: next() prepares the batch itself
  int ahead = 2;          ///< batches prepared beyond the one in use; at least 1 when there are threads
  std::int64_t rows = 0;  ///< most rows that a request will have; 0: a whole batch
};

/// Used by one thread. Waits asleep. Destroying it drops what has not been taken.
class Loader {
 public:
  /// Throws InputError for negative numbers, or for threads that may not look ahead; DeviceError when the system does not
  /// start the threads.
  explicit Loader(std::shared_ptr<const Batches> batches, LoaderOptions options = {});
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const Batches& batches() const { return *batches_; }

  /// Asks for a batch. Never waits: requests beyond the ring's room queue up. Throws ShapeError for rows that the batch does
  /// not have, or more than options.rows.
  void submit(const Request& request);

  /// Asks for every batch of an epoch, whole and in order.
  void submit_epoch(std::int64_t epoch);

  /// Requests submitted and not yet taken.
  std::int64_t pending() const;

  /// The batch of the oldest request not yet taken; waits until it is ready. It stays valid until the following call.
  /// Throws ShapeError when nothing was asked for, and what Batches::prepare threw for this request.
  const Batch& next();

  /// Seconds that next() has spent waiting or, without threads, preparing.
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Place {
    Batch batch;
    bool ready = false;
    std::exception_ptr error;
  };

  void serve(const std::stop_token& stop);
  void start_next(std::unique_lock<std::mutex>& lock);  // prepares the oldest waiting request, unlocked meanwhile
  Place& place(std::int64_t sequence) { return ring_[static_cast<std::size_t>(sequence) % ring_.size()]; }

  std::shared_ptr<const Batches> batches_;
  LoaderOptions options_;
  std::vector<Place> ring_;
  double seconds_waited_ = 0;

  mutable std::mutex mutex_;  // guards what follows, and `ready` and `error` of the places
  std::condition_variable_any work_;
  std::condition_variable ready_;
  std::deque<Request> waiting_;  // requests started_ .. submitted_-1, in order
  std::int64_t submitted_ = 0;   // requests so far
  std::int64_t started_ = 0;     // of these, handed to a thread
  std::int64_t taken_ = 0;       // of these, given to the caller
  std::int64_t released_ = 0;    // of these, no longer in the caller's hands

  std::vector<std::jthread> threads_;  // last: they stop before anything above goes
};

}  // namespace apam::data
