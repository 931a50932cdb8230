// A queue from one thread to another. The receiver takes everything at once, and may sleep until something comes.
//
// It connects the thread that makes all MPI calls of a rank with the thread that computes (mpi/), and knows neither.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "apam/exchange/transport.h"

namespace apam::exchange {

template <class T>
class Handoff {
 public:
  /// Adds an item and wakes the receiver. Never waits for it. Items after close() are dropped.
  void put(T item) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    items_.push_back(std::move(item));
    changed_.notify_one();
  }

  /// No item follows.
  void close() { end({}); }

  /// No item follows, because the sender has failed: take() throws `error`, even if items are left.
  void fail(std::exception_ptr error) { end(std::move(error)); }

  /// Replaces `items` by all that have not been taken yet, in order. Waits up to `timeout` for the first; 0: does not wait.
  /// False if none follow these.
  bool take(std::vector<T>& items, Duration timeout) {
    items.clear();
    std::unique_lock lock(mutex_);
    if (timeout.count() > 0) changed_.wait_for(lock, timeout, [this] { return closed_ || !items_.empty(); });
    if (error_) std::rethrow_exception(error_);
    std::swap(items, items_);
    return !closed_;
  }

 private:
  void end(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    closed_ = true;
    changed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> items_;
  std::exception_ptr error_;
  bool closed_ = false;
};

}  // namespace apam::exchange
