// All-reduce between threads of one process, summed in the order of the ranks, so results do not depend on timing.
//
// Barrier; then every rank sums its own part of each span and writes it to all ranks; barrier.
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
  /// Throws InputError without ranks.
  explicit ThreadsAllReduce(int ranks);
  ~ThreadsAllReduce();
  ThreadsAllReduce(const ThreadsAllReduce&) = delete;
  ThreadsAllReduce& operator=(const ThreadsAllReduce&) = delete;

  /// For the thread of one rank. Throws ExchangeError if ranks pass different numbers of spans or elements.
  AllReduce& rank(int index);

  /// Current and later calls that wait throw ExchangeError with this reason.
  void close(const std::string& reason);

 private:
  class Rank;

  void barrier();  // returns when all ranks have called it

  std::vector<std::unique_ptr<Rank>> ranks_;
  std::mutex mutex_;  // guards the members below
  std::condition_variable all_arrived_;
  int arrived_ = 0;
  std::uint64_t generation_ = 0;
  std::optional<std::string> closed_;
};

}  // namespace apam::exchange
