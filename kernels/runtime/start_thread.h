// Starting a thread, where the system may refuse one.
#pragma once

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam {

/// A std::jthread that runs body(arguments...). Throws DeviceError "OPERATION: thread NUMBER of COUNT cannot be started:
/// REASON" when the system refuses. Those started before it must then be told to end, since their jthreads are waited for.
template <class Body, class... Arguments>
std::jthread start_thread(std::string_view operation, int number, int count, Body&& body, Arguments&&... arguments) {
  try {
    return std::jthread(std::forward<Body>(body), std::forward<Arguments>(arguments)...);
  } catch (const std::system_error& error) {
    fail<DeviceError>("{}: thread {} of {} cannot be started: {}", operation, number, count, error.code().message());
  }
}

}  // namespace apam
