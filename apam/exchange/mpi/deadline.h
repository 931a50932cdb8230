// A limit on how long something may take that cannot be interrupted: starting MPI, ending it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace apam::exchange::mpi {

/// Ends the process with `status` unless it is destroyed before `patience` is over. `last_words` go to standard error first.
/// Where the system starts no thread for it, there is no limit.
class Deadline {
 public:
  Deadline(std::chrono::seconds patience, int status, std::string last_words = {});

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace apam::exchange::mpi
