// Starts threads, with an error if the system refuses one.
#pragma once

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam {

/// A std::jthread that runs body(arguments...). Throws DeviceError "OPERATION: thread NUMBER of COUNT cannot be started:
/// REASON" if the system refuses. The threads started before must then be able to stop, since their destructors join them.
template <class Body, class... Arguments>
std::jthread start_thread(std::string_view operation, int number, int count, Body&& body, Arguments&&... arguments) {
  try {
    return std::jthread(std::forward<Body>(body), std::forward<Arguments>(arguments)...);
  } catch (const std::system_error& error) {
    fail<DeviceError>("{}: thread {} of {} cannot be started: {}", operation, number, count, error.code().message());
  }
}

}  // namespace apam
