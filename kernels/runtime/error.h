// Typed errors. A message is one line that names the operation, the rule and both values:
// `conv2d: x has 64 channels, w expects 128`.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace apam {

/// Base of everything this project throws. what() is one line, fit to be shown to a user as it stands.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes or sizes that do not go together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// Bad input from outside: a file, an option, a message.
class InputError : public Error {
 public:
  using Error::Error;
};

/// A provider that is unknown, not built, or cannot do what it was named for.
class KernelError : public Error {
 public:
  using Error::Error;
};

/// A device, its memory, or a vendor library that refused.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// Throws `E` with a formatted message.
template <class E, class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws `E` with a formatted message unless `condition` holds.
template <class E, class... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw E(fmt::format(format, std::forward<Args>(args)...));
}

/// What the operating system says of an `errno`: "No space left on device". Take errno right after the call that set it: any
/// other call may set it again, and the arguments of a function are evaluated in no given order.
inline std::string reason_of(int error) { return std::generic_category().message(error); }

}  // namespace apam
