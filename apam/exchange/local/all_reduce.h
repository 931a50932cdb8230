// Sums over ranks that are threads of one process. Sums are taken in the order of the ranks, so they do not depend on timing.
//
// Each sum meets at a barrier, then every rank adds up its own part of each span and writes it to all, then they meet again.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "apam/exchange/all_reduce.h"

namespace apam::exchange {

class ThreadsAllReduce {
 public:
  /// Throws InputError unless there is a rank.
  explicit ThreadsAllReduce(int ranks);
  ~ThreadsAllReduce();
  ThreadsAllReduce(const ThreadsAllReduce&) = delete;
  ThreadsAllReduce& operator=(const ThreadsAllReduce&) = delete;

  /// The end of one rank, for its thread. It throws ExchangeError when ranks pass different numbers of spans or elements.
  AllReduce& rank(int index);

  /// Whoever waits, or waits later, gets an ExchangeError with this reason.
  void close(const std::string& reason);

 private:
  class End;

  void meet();  // returns when all ranks have called it

  std::vector<std::unique_ptr<End>> ends_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable all_came_;
  int came_ = 0;
  std::uint64_t meetings_ = 0;
  std::optional<std::string> closed_;
};

}  // namespace apam::exchange
