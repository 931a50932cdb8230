#include "apam/exchange/mpi/deadline.h"

#include <cstdlib>
#include <iostream>
#include <stop_token>
#include <system_error>
#include <utility>

namespace apam::exchange::mpi {

Deadline::Deadline(std::chrono::seconds patience, int status, std::string last_words) {
  const auto watch = [this, patience, status, words = std::move(last_words)](const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, stop, patience, [&] { return stop.stop_requested(); })) return;
    if (!words.empty()) std::cerr << words << std::endl;
    std::_Exit(status);
  };
  try {
    thread_ = std::jthread(watch);
  } catch (const std::system_error&) {
    return;
  }
}

}  // namespace apam::exchange::mpi
