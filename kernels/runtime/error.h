// Typed errors. A message is one line that names the operation, the rule and both values:
// `conv2d: x has 64 channels, w expects 128`.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace apam {

/// Base of all exceptions of this project. what() is one line that can be shown to users.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes or sizes that do not match.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// An array whose elements have the wrong type.
class TypeError : public Error {
 public:
  using Error::Error;
};

/// Invalid input: a file, an option, a message.
class InputError : public Error {
 public:
  using Error::Error;
};

/// A provider that is unknown, not built, or does not support what is requested.
class KernelError : public Error {
 public:
  using Error::Error;
};

/// A failure of a device, its memory, or a vendor library.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A device has not enough memory.
class OutOfMemory : public DeviceError {
 public:
  using DeviceError::DeviceError;
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

/// The operating system's text for an errno: "No space left on device". Save errno right after the failing call: any other call
/// may overwrite it, and function arguments are evaluated in unspecified order.
inline std::string reason_of(int error) { return std::generic_category().message(error); }

}  // namespace apam
