#include "apam/exchange/mpi/deadline.h"

#include <cstdlib>
#include <iostream>
#include <stop_token>
#include <system_error>
#include <utility>

namespace apam::exchange::mpi {

Deadline::Deadline(std::chrono::seconds limit, int status, std::string message) {
  const auto watch = [this, limit, status, text = std::move(message)](const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, stop, limit, [&] { return stop.stop_requested(); })) return;
    if (!text.empty()) std::cerr << text << std::endl;
    std::_Exit(status);
  };
  try {
    thread_ = std::jthread(watch);
  } catch (const std::system_error&) {
    return;
  }
}

}  // namespace apam::exchange::mpi
