// The message of an expected error.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace apam::support {

/// The message of the error of type E that `action` throws; the test fails if it throws none.
template <class E, class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error of the expected type";
  return {};
}

/// The message of the error of type E that `action` throws, or "no error".
template <class E, class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace apam::support
