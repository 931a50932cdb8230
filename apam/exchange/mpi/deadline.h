// A time limit for calls that cannot be interrupted: starting and ending MPI.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace apam::exchange::mpi {

/// Ends the process with `status` unless it is destroyed within `limit`. Prints `message` to standard error first. Without
/// effect if its thread cannot be started.
class Deadline {
 public:
  Deadline(std::chrono::seconds limit, int status, std::string message = {});

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace apam::exchange::mpi
