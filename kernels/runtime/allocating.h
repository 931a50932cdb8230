// For allocations whose size comes from user input: replaces a bare "std::bad_alloc", or the error of a
// Buffer, by an error that names the size.
#pragma once

#include <new>
#include <stdexcept>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam {

/// Returns make(). Throws DeviceError with a formatted message if memory runs out.
template <class Make, class... Args>
auto allocating(Make&& make, fmt::format_string<Args...> format, Args&&... args) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {  // above the container's max_size()
  } catch (const OutOfMemory&) {
  }
  fail<DeviceError>(format, std::forward<Args>(args)...);
}

}  // namespace apam
